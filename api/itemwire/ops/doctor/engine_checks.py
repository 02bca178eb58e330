"""Checks of the engine: it is used as a node does, and asked what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from itemwire.engines import UNSHARED, examine_store, open_engine
from itemwire.engines.base import (
    ANSWER_SECONDS,
    NO_SINK,
    PROBE,
    Answer,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
    UnfitEngine,
)
from itemwire.engines.urls import hide_password
from itemwire.messages import Draft, Publication
from itemwire.ops.doctor.clocks import OF_ENGINE, compared
from itemwire.ops.doctor.findings import Finding, doubtful, good, wrong
from itemwire.ops.doctor.visit import Visit
from itemwire.runbook import ENGINE, EVENTS, EXIT_STATUSES, STATES
from itemwire.settings import Settings

T = TypeVar("T")

SLOW: Final = 0.05  # seconds of a request: a publish takes at least as long
ROUNDS: Final = 7
ATTEMPTS: Final = 5
LIVE_SECONDS: Final = 0.3  # nodes compare with the store each second
VALUE_SECONDS: Final = 5.0
RIGHT: Final = "give this server's user the right to publish and to subscribe"


async def check_engine(visit: Visit) -> AsyncIterator[Finding]:
    """Ask the engine's server about itself, then use it."""
    url = visit.settings.engine_url
    scheme, shown = url.partition("://")[0], hide_password(url)
    try:
        report = await examine_store(url)
        if report is not None:
            yield good(f"{shown} is {report.version}")
            for one in report.concerns:
                yield (wrong if one.is_fault else doubtful)(one.says, one.remedy)
            if report.clock is not None:
                yield compared(OF_ENGINE, report.clock, time.time())
    except ValueError as error:
        yield wrong(str(error), EXIT_STATUSES["78"].remedy)
        return
    except EngineError as error:
        yield wrong(f"{shown} does not answer: {error}", ENGINE)
        return
    if scheme in UNSHARED:
        yield good(f"{scheme}:// belongs to one server, and is not tried beside it")
        return
    async for finding in _tried(visit.settings):
        yield finding


async def _tried(settings: Settings) -> AsyncIterator[Finding]:
    """Start as two nodes do, and do all that one needs; the other has to hear it."""
    heard = asyncio.Event()

    def deliver(_channel: str, _publication: Publication) -> None:
        heard.set()

    one, other = (open_engine(settings.engine_url, settings.history_bounds) for _ in range(2))
    try:
        await one.start(NO_SINK)
        await other.start(Sink(deliver=deliver))
        refused = [await _refused(name, step, other) for name, step in HEARING.items()]
        refused += [await _refused(name, step, one) for name, step in STEPS.items()]
        for finding in filter(None, refused):
            yield finding
        if not any(refused):
            yield await _heard(heard, one)
        yield await _timed(one)
        yield _sized(one, settings)
    except UnfitEngine as error:
        yield wrong(str(error), EXIT_STATUSES["78"].remedy)
    except EngineError as error:
        yield wrong(str(error), EXIT_STATUSES["3"].remedy)
    finally:
        await one.stop()
        await other.stop()


Step = Callable[[Engine], Awaitable[object]]


def _asked(ask: Callable[[Answer[T]], None]) -> Awaitable[T]:
    """Return the answer to a request, or raise EngineError."""
    answered: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def answer(result: T | EngineError) -> None:
        if answered.done():
            return
        if isinstance(result, EngineError):
            answered.set_exception(result)
        else:
            answered.set_result(result)

    ask(answer)
    return answered


def _read(engine: Engine) -> Awaitable[History]:
    return _asked(lambda answer: engine.read(PROBE, Span(1), answer))


HEARING: Final[dict[str, Step]] = {
    "hear what is published": lambda engine: _asked(lambda answer: engine.subscribe(PROBE, answer))
}
"""What the node that hears needs of its engine."""

STEPS: Final[dict[str, Step]] = {
    "publish": lambda engine: _asked(
        lambda answer: engine.publish(PROBE, Draft(PROBE, "", 0.0, b"1"), answer)
    ),
    "read the history": _read,
    "keep tickets": lambda engine: _asked(
        lambda answer: engine.put(PROBE, b"1", VALUE_SECONDS, answer)
    ),
    "take tickets": lambda engine: _asked(lambda answer: engine.take(PROBE, answer)),
    "keep its secret": lambda engine: _asked(engine.secret),
}
"""What the node that publishes needs; a notice would be told to the nodes that serve."""


async def _refused(name: str, step: Step, engine: Engine) -> Finding | None:
    try:
        async with asyncio.timeout(2 * ANSWER_SECONDS):
            await step(engine)
    except TimeoutError:
        return wrong(f"it does not answer when a node is to {name}", ENGINE)
    except EngineError as error:
        state = STATES.get(("degraded", error.fault.name))
        means = f" ({state.means})" if state else ""
        return wrong(f"a node cannot {name}: {error}{means}", state.remedy if state else ENGINE)
    return None


async def _heard(heard: asyncio.Event, publisher: Engine) -> Finding:
    """Return whether most messages are there so soon that they came live.

    Others come as well, when nodes compare what they have with the store.
    """
    live = 0
    for _ in range(ATTEMPTS):
        heard.clear()
        with contextlib.suppress(EngineError, TimeoutError):
            async with asyncio.timeout(LIVE_SECONDS):
                await STEPS["publish"](publisher)
                await heard.wait()
            live += 1
    if live > ATTEMPTS // 2:
        return good("a node can publish, hear, read, and keep tickets")
    return wrong("another node does not hear in time what is published", RIGHT)


async def _timed(engine: Engine) -> Finding:
    """Measure how long a request takes."""
    took: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        try:
            await _read(engine)
        except EngineError as error:
            return wrong(f"it does not answer: {error}", ENGINE)
        took.append(time.perf_counter() - began)
    median = statistics.median(took)
    told = f"it answers within {median * 1000:.1f} ms (median of {ROUNDS})"
    return doubtful(told, "bring it nearer, or relieve it") if median > SLOW else good(told)


def _sized(engine: Engine, settings: Settings) -> Finding:
    most = engine.most_bytes
    if most is not None and most < settings.max_message_bytes:
        told = f"it takes messages of {most} bytes, and clients may send more"
        return doubtful(told, EVENTS["engine_takes_less"])
    return good(f"it takes messages of {settings.max_message_bytes} bytes")
