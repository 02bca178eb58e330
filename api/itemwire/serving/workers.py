"""Runs several processes of one server on one port, and starts again those that die."""

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple, cast

from fastapi import FastAPI
from typing_extensions import override
from uvicorn.config import STARTUP_FAILURE

from itemwire.assembly import Assembly
from itemwire.observability.logs import configure_logs
from itemwire.observability.worker_metrics import WorkerMetrics
from itemwire.serving.server import Server, bind, calm_collector, server_of, url_of
from itemwire.settings import Settings

logger = logging.getLogger("itemwire.server")

AGAIN_SECONDS: Final = 1.0  # until a worker that died has a successor: it may die of the same

# Not forked: a successor shall begin as the first ones did.
_spawn = multiprocessing.get_context("spawn")
Worker = multiprocessing.context.SpawnProcess


class Berth(NamedTuple):
    """A worker's place among its siblings: its successor has the same."""

    number: int
    folder: Path | None  # where they talk to each other; None: they do not


class WorkerServer(Server):
    """Drains at the first signal, and goes on draining at the next ones.

    A terminal, or systemd, signals the workers as well as their supervisor, which tells them too.
    """

    siblings: WorkerMetrics | None = None

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and answer the siblings."""
        await super().startup(sockets)
        if self.siblings is not None:
            await self.siblings.start()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain; the siblings are answered until that is done."""
        await super().shutdown(sockets)
        if self.siblings is not None:
            self.siblings.stop()

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the supervisor kills who must not take its time."""
        self.should_exit = True


class Supervisor:
    """Keeps so many workers alive on one listener, until a signal comes."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._folder = _make_folder() if settings.metrics_token else None
        self._workers: dict[int, Worker] = {}  # by their numbers
        self._is_starting = self._is_stopping = False

    def run(self) -> int:
        """Run until all workers have ended; give the exit status."""
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self._stop)
        try:
            return self._keep_alive()
        except BaseException:
            self._is_starting = False
            self._end()  # this process would wait for them, who would serve for ever
            raise
        finally:
            self._remove_folder()

    def _keep_alive(self) -> int:
        self._start()
        first = list(self._workers.values())
        status = 0
        while self._workers:
            wait([worker.sentinel for worker in self._workers.values()])
            over = {n: worker for n, worker in self._workers.items() if not worker.is_alive()}
            for number, worker in over.items():
                del self._workers[number]
                if worker in first and worker.exitcode == STARTUP_FAILURE:
                    status = STARTUP_FAILURE  # a mistake in the settings, say; it has logged it
                    self._end()
            if over and not self._is_stopping:
                self._replace(over.values())
        return status

    def _replace(self, over: Iterable[Worker]) -> None:
        for worker in over:
            logger.error("worker_ended pid=%s status=%s", worker.pid, worker.exitcode)
        time.sleep(AGAIN_SECONDS)
        self._start()

    def _start(self) -> None:
        """Start those that are missing."""
        self._is_starting = True
        for number in range(self._settings.workers):
            if number not in self._workers and not self._is_stopping:
                berth = Berth(number, self._folder)
                worker = _spawn.Process(target=_work, args=(self._settings, self._listener, berth))
                worker.start()
                self._workers[number] = worker
        self._is_starting = False
        if self._is_stopping:  # a signal comes at any time
            self._end()

    def _stop(self, sig: int, _frame: FrameType | None) -> None:
        """Let all drain; at the second signal, end at once."""
        if self._is_stopping:
            for worker in self._workers.values():
                worker.kill()
            self._remove_folder()
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self._end()

    def _end(self) -> None:
        self._is_stopping = True
        if self._is_starting:  # who is just being started needs the listener; then all end
            return
        self._listener.close()  # the workers have it still, and close it when they have drained
        for worker in self._workers.values():
            worker.terminate()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _make_folder() -> Path | None:
    """Make a folder that is this user's alone; None where there is no room for one."""
    try:
        return Path(tempfile.mkdtemp(prefix="itemwire-workers-"))
    except OSError as error:
        logger.warning("metrics_unshared problem=%s", error)
        return None


def serve_by_workers(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve as `itemwire.serving.server.serve` does, by several processes."""
    configure_logs(settings.log_level, settings.log_format)
    server_of(settings)  # what is wrong is said once, and before anything listens
    listener = bind(settings)
    announce(url_of(listener))
    if status := Supervisor(settings, listener).run():
        sys.exit(status)


def _work(settings: Settings, listener: socket.socket, berth: Berth) -> None:
    """Be a worker; it ends when its supervisor does, however that came."""
    configure_logs(settings.log_level, settings.log_format)
    threading.Thread(target=_follow_supervisor, daemon=True).start()
    server = cast("WorkerServer", server_of(settings, kind=WorkerServer))
    if berth.folder is not None:
        scrape = Assembly.of(cast("FastAPI", server.config.app)).scrape
        number, count = berth.number, settings.workers
        scrape.workers = WorkerMetrics(berth.folder, number, count, scrape.registry)
        server.siblings = scrape.workers
    calm_collector()
    server.run(sockets=[listener])
    if berth.folder is not None and not _has_supervisor():
        with contextlib.suppress(OSError):  # there are siblings in it yet
            berth.folder.rmdir()


def _has_supervisor() -> bool:
    supervisor = multiprocessing.parent_process()
    return supervisor is not None and supervisor.is_alive()


def _follow_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)
