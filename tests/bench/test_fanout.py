"""Fan-out against correct servers, and against servers with faults."""

import asyncio

import pytest

from itemwire.bench.errors import BenchError, HandshakeRefused
from itemwire.bench.fanout import fanout
from itemwire.bench.results import Result
from itemwire.bench.work import Load
from tests.bench.servers import WARM_UP, Copies, Delivery, PassingOn, faithful, serving

LATER = WARM_UP + 3  # a message of the measured window


def measure(copies: Copies, load: Load, rate: float | None = None) -> Result:
    """One window: with two messages in flight, or at a rate."""

    async def run() -> Result:
        async with serving(PassingOn(copies)) as target:
            in_flight = [2] if rate is None else []
            return (await fanout(target, load, in_flight=in_flight, rate=rate))[0][0]

    return asyncio.run(run())


SMALL = Load(connections=4, seconds=0.1, stall_seconds=0.3)


def test_counts_what_a_faithful_server_delivers() -> None:
    """Every message reaches each of four subscribers."""
    result = measure(faithful, SMALL)

    assert result.problems == ()
    assert result.figures["deliveries"] == 4 * result.figures["messages"] > 0
    assert result.figures["per_s"] > 0
    assert 0 < result.figures["p50_ms"] <= result.figures["max_ms"]


def test_spreads_the_connections_over_the_items() -> None:
    """Three items of two subscribers each: a message is heard by two."""
    result = measure(faithful, Load(connections=6, items=3, seconds=0.1))

    assert result.problems == ()
    assert result.figures["deliveries"] == 2 * result.figures["messages"] > 0


def test_sends_at_a_rate() -> None:
    """An open loop sends what is due and no more."""
    result = measure(faithful, Load(connections=3, seconds=0.2), rate=100)

    assert result.problems == ()
    assert result.figures["messages"] == 20
    assert result.setting["rate"] == 100


def test_finds_a_message_that_is_missing() -> None:
    """One of four subscribers does not get it; nothing is waited for after that."""
    result = measure(lambda one: one != Delivery(LATER, watcher=2), SMALL)

    assert "1 deliveries are missing" in result.problems
    assert result.figures["missing"] == 1


def test_finds_a_message_that_comes_twice() -> None:
    """To one of four subscribers."""
    result = measure(lambda one: 2 if one == Delivery(LATER, watcher=1) else 1, SMALL)

    assert "1 deliveries came twice" in result.problems
    assert result.figures["repeated"] == 1


def test_finds_one_that_is_missing_where_another_comes_twice() -> None:
    """The count is right, the order is not; a sample of four is everyone."""
    wrong = {Delivery(LATER, 0): 2, Delivery(LATER + 1, 0): 0}

    result = measure(lambda one: wrong.get(one, 1), SMALL)

    assert result.figures["missing"] == result.figures["repeated"] == 0
    assert any("not the next in order" in problem for problem in result.problems)


def test_says_when_nothing_comes_back() -> None:
    """Most often the server is not one for this."""
    with pytest.raises(BenchError, match="did not reach all 4 connections"):
        measure(lambda _: 0, SMALL)


def test_says_when_the_server_ends_connections_meanwhile() -> None:
    """With its own words."""

    async def run() -> Result:
        async with serving(Closing()) as target:
            return (await fanout(target, SMALL, in_flight=[1]))[0][0]

    result = asyncio.run(run())

    assert any("closed with 1008 slow_consumer" in problem for problem in result.problems)


def test_wants_a_subscriber_for_each_item() -> None:
    """An item without one would be sent nothing."""
    with pytest.raises(BenchError, match="5 items need at least 5 connections"):
        measure(faithful, Load(connections=4, items=5))


def test_refusals_end_it_before_it_begins() -> None:
    """Half a crowd would give half a figure."""

    async def refuse(connection: object) -> None:
        await connection.close(1008, "forbidden")  # type: ignore[attr-defined]  # it is a socket

    async def run() -> None:
        async with serving(refuse) as target:
            await fanout(target, SMALL, in_flight=[1])

    with pytest.raises(HandshakeRefused, match="closed with 1008 forbidden"):
        asyncio.run(run())


class Closing(PassingOn):
    """Closes the sockets of all who watch when the measured window has begun."""

    def __init__(self) -> None:
        super().__init__(self.close_later)
        self.closing: set[asyncio.Task[None]] = set()

    def close_later(self, delivery: Delivery) -> int:
        """Deliver up to some message, then close instead."""
        if delivery.message < LATER:
            return 1
        if not self.closing:
            for watchers in self.watching.values():
                self.closing |= {
                    asyncio.create_task(watcher.close(1008, "slow_consumer"))
                    for watcher in watchers
                }
        return 0
