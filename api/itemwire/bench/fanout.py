"""Fan-out: messages to items, each delivered to all subscribers of its item.

Connection i subscribes to item i % items, and the first connection of each item publishes to it.
With several nodes, connections are spread over the nodes in turn; messages to the first item are
published on the first node.

There are two ways to load the server. A closed loop keeps a number of messages in flight: it sends
a new one when one has reached all subscribers. An open loop sends at a fixed rate, however late the
server is. Latency is measured from just before the send; in an open loop from the moment when the
message was due, so that a server that stalls is charged for the wait. Messages that fall due within
the same millisecond are sent together.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from itemwire.bench.crowd import Crowd, crowd
from itemwire.bench.errors import BenchError
from itemwire.bench.frames import Stationery, mark_of
from itemwire.bench.listeners import SAMPLE, Counter, SamplingCounter
from itemwire.bench.processor import figures_per
from itemwire.bench.results import BUSY, BUSY_IN_A_LOOP, Result, busy_note
from itemwire.bench.target import BenchTarget
from itemwire.bench.window import Item, Window
from itemwire.bench.work import (
    BETWEEN_WINDOWS,
    Load,
    Progress,
    Stopwatch,
    no_garbage_collection,
    silent,
)

TICK: Final = 0.001  # the resolution of uvloop's timers
POLL_SECONDS: Final = 0.05
MOST_IN_FLIGHT: Final = 32_768


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed loop with a number of messages in flight."""

    in_flight: int

    def name(self) -> str:
        """Return its name for progress reports."""
        return f"{self.in_flight} in flight"

    async def run(self, fan: "Fan") -> Result:
        """Measure one window."""
        return await fan.closed(self.in_flight)


@dataclass(frozen=True, slots=True)
class Open:
    """An open loop with a number of messages a second."""

    rate: float

    def name(self) -> str:
        """Return its name for progress reports."""
        return f"{self.rate:g} messages/s"

    async def run(self, fan: "Fan") -> Result:
        """Measure one window."""
        return await fan.open(self.rate)


async def fanout(
    target: BenchTarget,
    load: Load,
    *,
    in_flight: Sequence[int] = (),
    rate: float | None = None,
    progress: Progress = silent,
) -> list[list[Result]]:
    """Measure each number of messages in flight, then the rate; return the repeats of each."""
    ways: list[Closed | Open] = [
        *map(Closed, in_flight),
        *([Open(rate)] if rate is not None else []),
    ]
    results: list[list[Result]] = [[] for _ in ways]
    async with audience(target, load) as fan:
        for turn in range(load.repeat):
            for way, found in zip(ways, results, strict=True):
                progress(f"fanout: {way.name()}, {turn + 1} of {load.repeat}")
                found.append(await way.run(fan))
                if fan.stalled:
                    return [repeats for repeats in results if repeats]
    return results


@contextlib.asynccontextmanager
async def audience(target: BenchTarget, load: Load) -> "AsyncGenerator[Fan]":
    """Connect the subscribers, and check that a message reaches every one of them."""
    if load.items > load.connections:
        raise BenchError(f"{load.items} items need at least {load.items} connections")
    step = max(load.connections // SAMPLE, 1)

    def subscriber(number: int) -> Counter:
        kind = SamplingCounter if number % step == step - 1 else Counter
        return kind(number % load.items, target.dialect)

    async with crowd(target, load.connections, subscriber) as gathered:
        gathered.demand_all()
        fan = Fan(gathered, load)
        await fan.warm_up()
        with no_garbage_collection():
            yield fan


class Sender:
    """Sends the messages of one window, to the items in turn."""

    def __init__(self, window: Window, subscribers: list[list[Counter]]) -> None:
        self.window = window
        self._items = [Item(window, len(listeners)) for listeners in subscribers]
        self._transports = [listeners[0].transport for listeners in subscribers]
        for item, listeners in zip(self._items, subscribers, strict=True):
            for listener in listeners:
                listener.begin(item)

    def send(self, now: int) -> None:
        """Send the next message, which is due at `now`."""
        turn = self.window.sent % len(self._items)
        self._transports[turn].write(self._items[turn].next_message(now))

    def expected(self, item_number: int) -> int:
        """Return the number of messages that each subscriber of an item should receive."""
        return self._items[item_number].published


class Fan:
    """The subscribers of all items, and the windows of messages that are sent to them."""

    def __init__(self, gathered: Crowd[Counter], load: Load) -> None:
        self.load = load
        self.stalled = False
        """Messages were lost, so further windows would be meaningless."""
        self._crowd = gathered
        self._windows = 0
        self._subscribers: list[list[Counter]] = [[] for _ in range(load.items)]
        for listener in gathered.listeners:
            self._subscribers[listener.item_number].append(listener)

    async def warm_up(self) -> None:
        """Send messages to each item; `BenchError` if they do not reach all subscribers."""
        most = max(self.load.warm_up, self.load.items)
        result = await self.closed(1, most=most)
        self._crowd.demand_all()
        if result.problems:
            raise BenchError(
                f"a message did not reach all {self.load.connections} connections "
                f"({'; '.join(result.problems)}). Does the server send each message to all "
                "subscribers of the item, and do the tokens have the right to publish?"
            )

    async def closed(self, in_flight: int, most: int | None = None) -> Result:
        """Keep messages in flight until the window is over, or `most` are sent."""
        sender = self._sender()
        window, clock = sender.window, Stopwatch(self.load.pid)
        end = clock.start + int(self.load.seconds * 1e9)

        def send_again(messages: int) -> None:
            if most is None:
                messages = messages if window.last < end else 0
            else:
                messages = min(messages, most - window.sent)
            for _ in range(messages):
                sender.send(time.perf_counter_ns())

        window.on_complete = send_again
        for _ in range(in_flight):
            sender.send(time.perf_counter_ns())
        await self._drain(window)
        return await self._result({"in_flight": in_flight}, sender, clock)

    async def open(self, rate: float, backlog: int = MOST_IN_FLIGHT) -> Result:
        """Send at a fixed rate; give up once `backlog` messages are incomplete."""
        sender = self._sender()
        window, clock = sender.window, Stopwatch(self.load.pid)
        interval, due = 1e9 / rate, float(clock.start)
        end = clock.start + self.load.seconds * 1e9
        while due < end and window.in_flight < backlog and not self._crowd.ended():
            while due <= time.perf_counter_ns() and window.in_flight < backlog and due < end:
                sender.send(int(due))
                due += interval
            wait = (min(due, end) - time.perf_counter_ns()) / 1e9
            await asyncio.sleep(max(wait, TICK))
        given_up = due < end
        await self._drain(window)
        result = await self._result({"rate": rate}, sender, clock)
        if given_up:
            text = f"given up: {backlog} messages had not reached all subscribers"
            result = dataclasses.replace(result, problems=(*result.problems, text))
        return result

    def _sender(self) -> Sender:
        self._windows += 1
        mark = mark_of(self._windows)
        template = self._crowd.target.dialect.message
        return Sender(Window(Stationery(template, mark, self.load.size)), self._subscribers)

    def _deliveries(self) -> int:
        return sum(listener.count for listener in self._crowd.listeners)

    async def _drain(self, window: Window) -> None:
        """Wait until all messages are complete, or until nothing is delivered any more."""
        deliveries, since = -1, time.perf_counter()
        while window.in_flight:
            await asyncio.sleep(POLL_SECONDS)
            now, before = time.perf_counter(), deliveries
            deliveries = self._deliveries()
            since = now if deliveries != before else since
            if now - since > self.load.stall_seconds or self._crowd.ended():
                self.stalled = True
                return

    async def _result(self, how: dict[str, float], sender: Sender, clock: Stopwatch) -> Result:
        window, busy, used = sender.window, clock.busy(), clock.server.stop()
        await asyncio.sleep(BETWEEN_WINDOWS)
        gaps = [
            listener.count - sender.expected(listener.item_number)
            for listener in self._crowd.listeners
        ]
        missing = -sum(gap for gap in gaps if gap < 0)
        repeated = sum(gap for gap in gaps if gap > 0)
        deliveries = self._deliveries()
        seconds = clock.seconds(window.last)
        if "rate" in how and not window.in_flight:
            seconds = max(seconds, self.load.seconds)  # all were due before its end
        figures = {
            "per_s": deliveries / seconds,
            **window.latency.figures_ms(),
            "messages": window.completed,
            "deliveries": deliveries,
            "seconds": seconds,
            "missing": missing,
            "repeated": repeated,
            "disordered": window.disordered,
            "generator_busy": busy,
            **figures_per(deliveries, used),
        }
        setting = {"connections": self.load.connections, "items": self.load.items, **how}
        problems = (
            *(f"{count} connections {reason}" for reason, count in self._crowd.ended().items()),
            *([f"{missing} deliveries are missing"] if missing else []),
            *([f"{repeated} deliveries came twice"] if repeated else []),
            *([f"{window.disordered} were not the next in order"] if window.disordered else []),
        )
        limit = BUSY if "rate" in how else BUSY_IN_A_LOOP
        return Result("fanout", setting, figures, problems, busy_note(busy, limit))
