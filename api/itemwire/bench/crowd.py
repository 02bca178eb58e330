"""Many sockets, opened a few at a time and closed together."""

import asyncio
import contextlib
import errno
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Generic, TypeVar

from itemwire.bench.client import Handshake, Listener
from itemwire.bench.errors import BenchError, Refused, TooFewFiles, Unreachable
from itemwire.bench.histogram import Histogram
from itemwire.bench.target import Target

if sys.platform != "win32":
    import resource

L = TypeVar("L", bound=Listener)

RAMP: Final = 64  # handshakes in progress at once
HANDSHAKE_SECONDS: Final = 30.0
SECOND_THOUGHTS: Final = 0.3  # a server may accept, so that a browser can read why it then closes
SPARE_FILES: Final = 64
CLOSE_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 0.005


@dataclass(slots=True)
class Crowd(Generic[L]):
    """Sockets that are open, and how their handshakes went."""

    target: Target
    listeners: list[L] = field(default_factory=list)
    handshakes: Histogram = field(default_factory=Histogram)
    failures: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def ended(self) -> Counter[str]:
        """Count how the server ended sockets that are not open any more."""
        return Counter(listener.ended for listener in self.listeners if listener.ended)

    def demand_all(self) -> None:
        """Raise Refused unless every socket was opened and is open still."""
        gone = self.failures + self.ended()
        if gone:
            (reason, _), *_ = gone.most_common(1)
            raise Refused(f"{gone.total()} of the connections failed: {reason}")


@contextlib.asynccontextmanager
async def crowd(
    target: Target, count: int, make: Callable[[int], L], ramp: int = RAMP
) -> AsyncIterator[Crowd[L]]:
    """Open so many sockets with `ramp` handshakes at once, in order; reset them at the end.

    One is tried first, and raises a BenchError if it is not to be had.
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


def allow_files(sockets: int) -> None:
    """Let this process open so many sockets; TooFewFiles if it may not."""
    if sys.platform == "win32":
        return  # has no such limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise TooFewFiles(f"{sockets} sockets need {wanted} open files and {hard} are allowed")
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _probe(target: Target) -> None:
    listener = Listener(0, target.dialect)
    await _open(target, listener, 0)
    over = asyncio.Event()
    listener.on_end = over.set
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECOND_THOUGHTS if not listener.ended else 0):
            await over.wait()
    refusal = listener.ended
    await _close([listener])
    if refusal:
        raise Refused(f"refused: {refusal}")


async def _close(listeners: Sequence[Listener]) -> None:
    """Reset all connections, and wait for that: a loop must not end with open sockets."""
    for listener in listeners:
        listener.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            while not all(listener.gone for listener in listeners):  # noqa: ASYNC110 - so many events
                await asyncio.sleep(LOOK_SECONDS)


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


async def _open(target: Target, listener: Listener, number: int) -> int:
    """Open one socket, up to the end of the hello; give the time."""
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
        raise Refused(f"no answer to a handshake within {HANDSHAKE_SECONDS:.0f} s") from error
    except OSError as error:
        raise _explained(error, target) from error


def _explained(error: OSError, target: Target) -> BenchError:
    match error.errno:
        case errno.EMFILE | errno.ENFILE:
            return TooFewFiles(f"no more open files: {error.strerror}")
        case errno.ECONNREFUSED:
            return Unreachable(f"nothing listens at {target.host}")
        case errno.EADDRNOTAVAIL:
            return BenchError("no more local ports: fewer connections, or wait a minute")
        case _:
            return Unreachable(f"cannot connect to {target.host}: {error.strerror or error}")
