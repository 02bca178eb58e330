"""Many sockets that are opened a few at a time and closed together."""

import asyncio
import contextlib
import errno
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Generic, TypeVar

from itemwire.bench.client import Handshake, Listener
from itemwire.bench.errors import BenchError, HandshakeRefused, TooFewFiles, Unreachable
from itemwire.bench.histogram import LatencyHistogram
from itemwire.bench.target import BenchTarget

L = TypeVar("L", bound=Listener)

RAMP: Final = 64  # handshakes in progress at the same time
HANDSHAKE_SECONDS: Final = 30.0
# A server may accept a handshake and then close with a reason, because browsers can read that.
LATE_REFUSAL_SECONDS: Final = 0.3
SPARE_FILES: Final = 64
CLOSE_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.005


@dataclass(slots=True)
class Crowd(Generic[L]):
    """Open sockets, and how their handshakes went."""

    target: BenchTarget
    listeners: list[L] = field(default_factory=list[L])
    handshakes: LatencyHistogram = field(default_factory=LatencyHistogram)
    failures: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0

    def ended(self) -> Counter[str]:
        """Return how many sockets the server ended, by how it did."""
        return Counter(listener.ended for listener in self.listeners if listener.ended)

    def demand_all(self) -> None:
        """Raise `HandshakeRefused` unless every socket was opened and is still open."""
        gone = self.failures + self.ended()
        if gone:
            (reason, _), *_ = gone.most_common(1)
            raise HandshakeRefused(f"{gone.total()} of the connections failed: {reason}")


@contextlib.asynccontextmanager
async def crowd(
    target: BenchTarget, count: int, make: Callable[[int], L], ramp: int = RAMP
) -> AsyncGenerator[Crowd[L]]:
    """Open `count` sockets in order, `ramp` handshakes at a time; reset them at the end.

    A first socket is opened as a test: `BenchError` says why it could not be.
    """
    allow_files(count)
    gathered: Crowd[L] = Crowd(target)
    try:
        await _probe(target)
        start = time.perf_counter()
        numbers = iter(range(count))
        await asyncio.gather(*(_open_next(gathered, numbers, make) for _ in range(ramp)))
        gathered.seconds = time.perf_counter() - start
        gathered.listeners.sort(key=attrgetter("number"))
        yield gathered
    finally:
        await _close(gathered.listeners)


if sys.platform == "win32":

    def allow_files(sockets: int) -> None:
        """Do nothing: Windows does not limit open sockets."""

else:
    import resource

    def allow_files(sockets: int) -> None:
        """Raise this process's limit of open files for so many sockets, or `TooFewFiles`."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = sockets + SPARE_FILES
        if hard != resource.RLIM_INFINITY and wanted > hard:
            raise TooFewFiles(f"{sockets} sockets need {wanted} open files, {hard} are allowed")
        if soft != resource.RLIM_INFINITY and wanted > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _probe(target: BenchTarget) -> None:
    listener = Listener(0, target.dialect)
    await _open(target, listener, 0)
    ended = asyncio.Event()
    listener.on_end = ended.set
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LATE_REFUSAL_SECONDS if not listener.ended else 0):
            await ended.wait()
    refusal = listener.ended
    await _close([listener])
    if refusal:
        raise HandshakeRefused(f"refused: {refusal}")


async def _close(listeners: Sequence[Listener]) -> None:
    """Reset all connections and wait for it: an event loop must not end with open sockets."""
    for listener in listeners:
        listener.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            while not all(listener.gone for listener in listeners):  # noqa: ASYNC110 - thousands of events
                await asyncio.sleep(POLL_SECONDS)


async def _open_next(gathered: Crowd[L], numbers: Iterator[int], make: Callable[[int], L]) -> None:
    for number in numbers:
        listener = make(number)
        listener.number = number
        start = time.perf_counter_ns()
        try:
            opened = await _open(gathered.target, listener, number)
        except TooFewFiles:
            raise
        except BenchError as error:
            gathered.failures[str(error)] += 1
        else:
            gathered.handshakes.record(opened - start)
            gathered.listeners.append(listener)


async def _open(target: BenchTarget, listener: Listener, number: int) -> int:
    """Open one socket, up to the end of the hello; return the time of that."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[int] = loop.create_future()
    handshake = Handshake(
        target.request(listener.item_number, number), listener, target.dialect, opened
    )
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await loop.create_connection(
                lambda: handshake,
                target.address,
                target.port_of(number),
                ssl=target.tls,
                server_hostname=target.server_name,
            )
            return await opened
    except TimeoutError as error:
        handshake.give_up()
        raise HandshakeRefused(
            f"no answer to a handshake within {HANDSHAKE_SECONDS:.0f} s"
        ) from error
    except OSError as error:
        raise _bench_error(error, target) from error


def _bench_error(error: OSError, target: BenchTarget) -> BenchError:
    match error.errno:
        case errno.EMFILE | errno.ENFILE:
            return TooFewFiles(f"no more open files: {error.strerror}")
        case errno.ECONNREFUSED:
            return Unreachable(f"nothing listens at {target.host}")
        case errno.EADDRNOTAVAIL:
            return BenchError("no local ports left: open fewer connections, or wait a minute")
        case _:
            return Unreachable(f"cannot connect to {target.host}: {error.strerror or error}")
