"""Runs several processes of one server on one port, and starts again those that die."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from types import FrameType
from typing import Final

from typing_extensions import override
from uvicorn.config import STARTUP_FAILURE

from api.logs import configure_logs
from api.server import Server, bind, calm_collector, server_of, url_of
from api.settings import Settings

logger = logging.getLogger("itemwire.server")

AGAIN_SECONDS: Final = 1.0  # until a worker that died has a successor: it may die of the same

# Not forked: a successor shall begin as the first ones did.
_spawn = multiprocessing.get_context("spawn")
Worker = multiprocessing.context.SpawnProcess


class WorkerServer(Server):
    """Drains at the first signal, and goes on draining at the next ones.

    A terminal, or systemd, signals the workers as well as their supervisor, which tells them too.
    """

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the supervisor kills who must not take its time."""
        self.should_exit = True


class Supervisor:
    """Keeps so many workers alive on one listener, until a signal comes."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._workers: list[Worker] = []
        self._is_starting = self._is_stopping = False

    def run(self) -> int:
        """Run until all workers have ended; give the exit status."""
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self._stop)
        self._start()
        first = list(self._workers)
        status = 0
        while self._workers:
            wait([worker.sentinel for worker in self._workers])
            over = [worker for worker in self._workers if not worker.is_alive()]
            for worker in over:
                self._workers.remove(worker)
                if worker in first and worker.exitcode == STARTUP_FAILURE:
                    status = STARTUP_FAILURE  # a mistake in the settings, say; it has logged it
                    self._end()
            if over and not self._is_stopping:
                self._replace(over)
        return status

    def _replace(self, over: Sequence[Worker]) -> None:
        for worker in over:
            logger.error("worker_ended pid=%s status=%s", worker.pid, worker.exitcode)
        time.sleep(AGAIN_SECONDS)
        self._start()

    def _start(self) -> None:
        """Start as many as are missing."""
        self._is_starting = True
        while len(self._workers) < self._settings.workers and not self._is_stopping:
            worker = _spawn.Process(target=_work, args=(self._settings, self._listener))
            worker.start()
            self._workers.append(worker)
        self._is_starting = False
        if self._is_stopping:  # a signal comes at any time
            self._end()

    def _stop(self, sig: int, _frame: FrameType | None) -> None:
        """Let all drain; at the second signal, end at once."""
        if self._is_stopping:
            for worker in self._workers:
                worker.kill()
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self._end()

    def _end(self) -> None:
        self._is_stopping = True
        if self._is_starting:  # who is just being started needs the listener; then all end
            return
        self._listener.close()  # the workers have it still, and close it when they have drained
        for worker in self._workers:
            worker.terminate()


def serve_by_workers(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve as `api.server.serve` does, by several processes."""
    configure_logs(settings.log_level, settings.log_format)
    server_of(settings)  # what is wrong is said once, and before anything listens
    listener = bind(settings)
    announce(url_of(listener))
    if status := Supervisor(settings, listener).run():
        sys.exit(status)


def _work(settings: Settings, listener: socket.socket) -> None:
    """Be a worker; it ends when its supervisor does, however that came."""
    configure_logs(settings.log_level, settings.log_format)
    threading.Thread(target=_follow_supervisor, daemon=True).start()
    server = server_of(settings, kind=WorkerServer)
    calm_collector()
    server.run(sockets=[listener])


def _follow_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)
