"""The highest rate that a server keeps up with."""

import asyncio

import pytest

from itemwire.bench.ceiling import ceiling
from itemwire.bench.errors import BenchError
from itemwire.bench.results import Result
from itemwire.bench.work import Load
from tests.bench.servers import PassingOn, serving


def measure(rest: float, seconds: float) -> Result:
    """Climb against a server that rests after each message."""

    async def run() -> Result:
        async with serving(PassingOn(rest=rest)) as target:
            return (await ceiling(target, Load(connections=2, seconds=seconds)))[0]

    return asyncio.run(run())


def test_stops_where_the_server_falls_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that rests for 10 ms after each message cannot do more than 100 a second.

    A busy machine holds up a message for longer than the 30 ms of a real measurement.
    """
    monkeypatch.setattr("itemwire.bench.ceiling.MAX_P99_MS", 150)
    result = measure(rest=0.01, seconds=0.5)

    assert 10 < result.figures["rate"] <= 100
    assert result.figures["p99_ms"] <= 150
    assert result.problems == ()


def test_says_when_no_rate_is_low_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on the other side of a slow line is never in time."""
    monkeypatch.setattr("itemwire.bench.ceiling.MAX_P99_MS", 0)

    with pytest.raises(BenchError, match="does not reach everyone"):
        measure(rest=0, seconds=0.02)
