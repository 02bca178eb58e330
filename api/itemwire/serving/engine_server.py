"""The engine process, run by its supervisor: `python -m itemwire.serving.engine_server`.

Its options are one line on standard input, which stays open for as long as the supervisor lives.
It says `ready` on standard output once nodes can connect, and imports little: it is started anew
when it has died, and all wait for it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from itemwire.engines import UNSHARED, open_engine
from itemwire.engines.base import EngineError
from itemwire.engines.unix.server import EngineServer
from itemwire.engines.unix.told_bounds import ToldBounds
from itemwire.observability.logs import configure_logs
from itemwire.serving.collector import calm_collector
from itemwire.serving.signals import drain_at_more_signals, ignore_signals
from itemwire.serving.streams import drop_what_cannot_be_written

logger = logging.getLogger("itemwire.server")

READY: Final = b"ready\n"
START_FAILURE: Final = 3
SPARE_SECONDS: Final = 5.0  # beyond the time in which workers drain


class EngineOptions(msgspec.Struct, frozen=True):
    """What the engine process is told at its start.

    `drain_seconds` is how long it waits for its nodes to go once it is to end.
    """

    url: str
    path: str
    total_bytes: int
    drain_seconds: float
    log_level: str
    log_format: str


async def serve_engine(options: EngineOptions, announce: Callable[[], None]) -> None:
    """Serve until a signal comes or the supervisor is gone, and then until the nodes are.

    A terminal, or systemd, signals this process with the workers, which need it to drain.
    """
    is_shared = options.url.partition("://")[0] not in UNSHARED
    bounds = ToldBounds(is_settled=True) if is_shared else ToldBounds(options.total_bytes)
    server = EngineServer(open_engine(options.url, bounds), bounds)
    loop = asyncio.get_running_loop()
    is_over, is_orphaned = asyncio.Event(), asyncio.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, is_over.set)
    drain_at_more_signals(lambda _sig, _frame: loop.call_soon_threadsafe(is_over.set))
    loop.add_reader(sys.stdin.fileno(), _see_supervisor_end, is_over, is_orphaned)
    await server.start(options.path)
    announce()
    calm_collector()
    await is_over.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(options.drain_seconds + SPARE_SECONDS):
            await server.all_gone.wait()
    await server.stop()
    if is_orphaned.is_set():
        _remove_folder(Path(options.path))


def _see_supervisor_end(*ended: asyncio.Event) -> None:
    """Read what the supervisor says: nothing more, but that it is gone."""
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        for event in ended:
            event.set()


def _remove_folder(socket: Path) -> None:
    """Remove what only a supervisor would remove: nobody else is left."""
    with contextlib.suppress(OSError):
        socket.unlink(missing_ok=True)
        socket.parent.rmdir()


def _say_ready() -> None:
    with contextlib.suppress(BrokenPipeError):  # the supervisor is gone: that is seen next
        os.write(sys.stdout.fileno(), READY)


def main() -> int:
    """Run the process, and return its exit status."""
    options = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineOptions)
    drop_what_cannot_be_written()
    ignore_signals()
    configure_logs(options.log_level, "json" if options.log_format == "json" else "text")
    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            runner.run(serve_engine(options, _say_ready))
    except (EngineError, OSError, ValueError) as error:
        logger.error("engine_process_failed problem=%s", error)  # noqa: TRY400 - a line says it
        return START_FAILURE
    return 0


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not to be had on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
