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
from collections.abc import Callable, Generator, Iterable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple, Protocol, cast

from typing_extensions import override

from itemwire.assembly import running_assemblies
from itemwire.observability.worker_metrics import WorkerMetrics
from itemwire.serving.collector import calm_collector
from itemwire.serving.engine_process import EngineProcess
from itemwire.serving.listening import bind, file_removed, url_of
from itemwire.serving.readiness import STOPPING, notify
from itemwire.serving.server import (
    FASTPATH,
    STARTUP_FAILURE,
    UNFIT,
    DrainingServer,
    Protocols,
    fitting_protocols,
    prepare_process,
    say_ready,
    server_of,
)
from itemwire.serving.signals import drain_at_more_signals, may_end_at_once
from itemwire.settings import PREFIX, Settings

logger = logging.getLogger("itemwire.server")

RESTART_SECONDS: Final = 1.0  # before a dead worker is replaced: the new one may die of the same

ENGINE_VARIABLE: Final = f"{PREFIX}ENGINE_URL"

# Spawned, not forked: a replacement then starts in the same state as the first workers.
_spawn = multiprocessing.get_context("spawn")


class Telling(Protocol):
    """The end of a pipe that takes what is told."""

    def send_bytes(self, buf: bytes, /) -> None:
        """Send a message."""
        ...


class WorkerSlot(NamedTuple):
    """The place of a worker among the others; its replacement gets the same slot."""

    number: int
    total: int  # of all workers
    folder: Path | None  # for the sockets by which workers share metrics; None: they do not
    serving: Telling | None = None  # by which its supervisor learns that it serves


class WorkerServer(DrainingServer):
    """Drains at the first signal, and keeps draining at further ones.

    A terminal or systemd signals the workers and their supervisor, which then signals the workers
    again.
    """

    slot: WorkerSlot | None = None
    _shared: Sequence[WorkerMetrics] = ()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, tell the supervisor, and answer the other workers' requests for metrics."""
        await super().startup(sockets)
        if self.started and self.slot is not None and self.slot.serving is not None:
            with contextlib.suppress(OSError):  # the supervisor has gone
                self.slot.serving.send_bytes(bytes([self.slot.number]))
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
        on_serving: Callable[[], None] = lambda: None,
        *,
        engine: EngineProcess | None = None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._host = host
        self._protocols = protocols
        self._listener = listener
        self._folder = _make_folder() if settings.metrics_token else None
        self._workers: dict[int, SpawnProcess] = {}  # by the number of their slot
        # A signal may come while workers are being started. Then `_stop` only sets the flag, and
        # `_start` ends them all once it is done.
        self._is_starting = self._is_stopping = False
        self._on_serving = on_serving  # called once, when each of them has served
        self._told, self._telling = multiprocessing.Pipe(duplex=False)
        self._serving: set[int] = set()  # the numbers of slots

    def run(self) -> int:
        """Run until all workers have ended, and return the exit status."""
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self._stop)
        drain_at_more_signals(self._stop)
        try:
            return self._keep_alive()
        except BaseException:
            self._is_starting = False
            self._end()  # else the workers would serve for ever, and this process wait for them
            raise
        finally:
            self._remove_folder()
            if self._engine is not None:
                self._engine.stop()

    def _keep_alive(self) -> int:
        if self._engine is not None and not self._engine.start():
            return STARTUP_FAILURE
        self._start()
        first = list(self._workers.values())
        status = 0
        while self._workers:
            self._wait()
            self._hear()
            dead = {n: worker for n, worker in self._workers.items() if not worker.is_alive()}
            for number, worker in dead.items():
                del self._workers[number]
                if worker in first and worker.exitcode in {STARTUP_FAILURE, UNFIT}:
                    # A replacement would fail too, by a wrong setting for example, which is logged.
                    status = worker.exitcode
                    self._end()
            if dead and not self._is_stopping:
                self._replace(dead.values())
        return status

    def _wait(self) -> None:
        """Wait until a worker has ended; meanwhile, look after the engine process."""
        engines = [] if self._engine is None else self._engine.sentinels
        workers = [worker.sentinel for worker in self._workers.values()]
        ready = wait([*engines, self._told, *workers])
        if self._engine is not None and not set(engines).isdisjoint(ready):
            self._engine.look_after(is_needed=not self._is_stopping)

    def _hear(self) -> None:
        """Note which workers serve; once all have, the server does."""
        while self._told.poll():
            self._serving.update(self._told.recv_bytes())
            if len(self._serving) == self._settings.workers and not self._is_stopping:
                self._on_serving()
                self._on_serving = lambda: None

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
                slot = WorkerSlot(number, self._settings.workers, self._folder, self._telling)
                given = (self._settings, self._listener, slot, self._host, self._protocols)
                worker = _spawn.Process(target=_work, args=given)
                worker.start()
                self._workers[number] = worker
        self._is_starting = False
        if self._is_stopping:  # a signal came meanwhile
            self._end()

    def _stop(self, sig: int, _frame: FrameType | None) -> None:
        """Drain all workers; at the second signal, kill them and this process."""
        if self._is_stopping and may_end_at_once(sig):
            for worker in self._workers.values():
                worker.kill()
            if self._engine is not None:
                self._engine.kill()
            self._remove_folder()
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self._end()

    def _end(self) -> None:
        if not self._is_stopping and len(self._serving) == self._settings.workers:
            notify(STOPPING)
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
    prepare_process(settings)
    protocols = fitting_protocols()
    engine = EngineProcess.of(settings)
    with _told_where(engine):
        if engine is not None:
            settings = settings.model_copy(update={"engine_url": engine.url})
        server_of(settings, protocols, host=host)  # report mistakes once, before anything listens
        listener = bind(settings)
        url = url_of(listener)

        def told() -> None:
            say_ready(announce, url)

        supervisor = Supervisor(settings, listener, host, protocols, told, engine=engine)
        with file_removed(settings):
            status = supervisor.run()
    if status:
        sys.exit(status)


@contextlib.contextmanager
def _told_where(engine: EngineProcess | None) -> Generator[None]:
    """Let a host application find the workers' engine, whose settings it reads for itself."""
    if engine is None:
        yield
        return
    before = os.environ.get(ENGINE_VARIABLE)
    os.environ[ENGINE_VARIABLE] = engine.url
    try:
        yield
    finally:
        engine.remove_folder()
        if before is None:
            del os.environ[ENGINE_VARIABLE]
        else:
            os.environ[ENGINE_VARIABLE] = before


def _work(
    settings: Settings,
    listener: socket.socket,
    slot: WorkerSlot,
    host: str | None,
    protocols: Protocols,
) -> None:
    """Run one worker; it also ends when its supervisor dies."""
    prepare_process(settings)
    threading.Thread(target=_follow_supervisor, daemon=True).start()
    try:
        server = cast("WorkerServer", server_of(settings, protocols, WorkerServer, host))
    except ValueError as error:  # what is wrong now was right when the supervisor looked
        logger.error("worker_unfit detail=%r", str(error))  # noqa: TRY400 - one line
        sys.exit(UNFIT)
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
