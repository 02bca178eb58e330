"""Runs several processes of one server on one port, and replaces those that die."""

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
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple, cast

from typing_extensions import override

from itemwire.assembly import running_assemblies
from itemwire.observability.logs import configure_logs
from itemwire.observability.worker_metrics import WorkerMetrics
from itemwire.serving.listening import bind, file_removed, url_of
from itemwire.serving.server import (
    FASTPATH,
    STARTUP_FAILURE,
    DrainingServer,
    Protocols,
    calm_collector,
    fitting_protocols,
    server_of,
)
from itemwire.settings import Settings

logger = logging.getLogger("itemwire.server")

RESTART_SECONDS: Final = 1.0  # before a dead worker is replaced: the new one may die of the same

# Spawned, not forked: a replacement then starts in the same state as the first workers.
_spawn = multiprocessing.get_context("spawn")


class WorkerSlot(NamedTuple):
    """The place of a worker among the others; its replacement gets the same slot."""

    number: int
    total: int  # of all workers
    folder: Path | None  # for the sockets by which workers share metrics; None: they do not


class WorkerServer(DrainingServer):
    """Drains at the first signal, and keeps draining at further ones.

    A terminal or systemd signals the workers and their supervisor, which then signals the workers
    again.
    """

    slot: WorkerSlot | None = None
    _shared: Sequence[WorkerMetrics] = ()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and answer the other workers' requests for metrics."""
        await super().startup(sockets)
        if self.slot is not None and self.slot.folder is not None:
            self._shared = _share_metrics(self.slot, self.slot.folder)
            for metrics in self._shared:
                await metrics.start()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain; the other workers are answered until that is done."""
        await super().shutdown(sockets)
        for metrics in self._shared:
            metrics.stop()

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; to end at once is up to the supervisor, which kills its workers."""
        self.should_exit = True


def _share_metrics(slot: WorkerSlot, folder: Path) -> Sequence[WorkerMetrics]:
    """Have a scrape of each `Itemwire` of the application return the metrics of all workers."""
    shared: list[WorkerMetrics] = []
    for place, assembly in enumerate(running_assemblies()):
        scrape = assembly.scrape
        scrape.workers = WorkerMetrics(
            folder, slot.number, slot.total, scrape.registry, place=place
        )
        shared.append(scrape.workers)
    return shared


class Supervisor:
    """Keeps a number of workers alive on one listener, until a signal comes."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        host: str | None = None,
        protocols: Protocols = FASTPATH,
    ) -> None:
        self._settings = settings
        self._host = host
        self._protocols = protocols
        self._listener = listener
        self._folder = _make_folder() if settings.metrics_token else None
        self._workers: dict[int, SpawnProcess] = {}  # by the number of their slot
        # A signal may come while workers are being started. Then `_stop` only sets the flag, and
        # `_start` ends them all once it is done.
        self._is_starting = self._is_stopping = False

    def run(self) -> int:
        """Run until all workers have ended, and return the exit status."""
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self._stop)
        try:
            return self._keep_alive()
        except BaseException:
            self._is_starting = False
            self._end()  # else the workers would serve for ever, and this process wait for them
            raise
        finally:
            self._remove_folder()

    def _keep_alive(self) -> int:
        self._start()
        first = list(self._workers.values())
        status = 0
        while self._workers:
            wait([worker.sentinel for worker in self._workers.values()])
            dead = {n: worker for n, worker in self._workers.items() if not worker.is_alive()}
            for number, worker in dead.items():
                del self._workers[number]
                if worker in first and worker.exitcode == STARTUP_FAILURE:
                    # A replacement would fail too, by a wrong setting for example, which is logged.
                    status = STARTUP_FAILURE
                    self._end()
            if dead and not self._is_stopping:
                self._replace(dead.values())
        return status

    def _replace(self, dead: Iterable[SpawnProcess]) -> None:
        for worker in dead:
            logger.error("worker_ended pid=%s status=%s", worker.pid, worker.exitcode)
        time.sleep(RESTART_SECONDS)
        self._start()

    def _start(self) -> None:
        """Start the workers that are missing."""
        self._is_starting = True
        for number in range(self._settings.workers):
            if number not in self._workers and not self._is_stopping:
                slot = WorkerSlot(number, self._settings.workers, self._folder)
                given = (self._settings, self._listener, slot, self._host, self._protocols)
                worker = _spawn.Process(target=_work, args=given)
                worker.start()
                self._workers[number] = worker
        self._is_starting = False
        if self._is_stopping:  # a signal came meanwhile
            self._end()

    def _stop(self, sig: int, _frame: FrameType | None) -> None:
        """Drain all workers; at the second signal, kill them and this process."""
        if self._is_stopping:
            for worker in self._workers.values():
                worker.kill()
            self._remove_folder()
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self._end()

    def _end(self) -> None:
        self._is_stopping = True
        if self._is_starting:  # the worker being started needs the listener; `_start` calls again
            return
        self._listener.close()  # the workers have copies, and close them once they have drained
        for worker in self._workers.values():
            worker.terminate()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _make_folder() -> Path | None:
    """Make a folder that only this user may enter; None, and a warning, if that fails."""
    try:
        return Path(tempfile.mkdtemp(prefix="itemwire-workers-"))
    except OSError as error:
        logger.warning("metrics_unshared problem=%s", error)
        return None


def serve_by_workers(
    settings: Settings, announce: Callable[[str], None], host: str | None = None
) -> None:
    """Serve as `itemwire.serving.server.serve` does, in several processes."""
    configure_logs(settings.log_level, settings.log_format)
    protocols = fitting_protocols()
    server_of(settings, protocols, host=host)  # report mistakes once, before anything listens
    listener = bind(settings)
    announce(url_of(listener))
    with file_removed(settings):
        status = Supervisor(settings, listener, host, protocols).run()
    if status:
        sys.exit(status)


def _work(
    settings: Settings,
    listener: socket.socket,
    slot: WorkerSlot,
    host: str | None,
    protocols: Protocols,
) -> None:
    """Run one worker; it also ends when its supervisor dies."""
    configure_logs(settings.log_level, settings.log_format)
    threading.Thread(target=_follow_supervisor, daemon=True).start()
    server = cast("WorkerServer", server_of(settings, protocols, WorkerServer, host))
    server.slot = slot
    calm_collector()
    server.run(sockets=[listener])
    if slot.folder is not None and not _has_supervisor():
        with contextlib.suppress(OSError):  # not empty: another worker still uses it
            slot.folder.rmdir()


def _has_supervisor() -> bool:
    supervisor = multiprocessing.parent_process()
    return supervisor is not None and supervisor.is_alive()


def _follow_supervisor() -> None:
    """Stop this worker when its supervisor is gone: nobody else would."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)
