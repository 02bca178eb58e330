"""Round trips against servers that answer once, twice and not at all."""

import asyncio

import pytest

from itemwire.bench.echo import echo
from itemwire.bench.errors import BenchError
from itemwire.bench.results import Result
from itemwire.bench.work import Load
from tests.bench.servers import Copies, PassingOn, faithful, serving

SMALL = Load(connections=3, seconds=0.1, stall_seconds=1.5)


def measure(copies: Copies) -> Result:
    """One window of echoes."""

    async def run() -> Result:
        async with serving(PassingOn(copies)) as target:
            return (await echo(target, SMALL))[0]

    return asyncio.run(run())


def test_counts_round_trips() -> None:
    """Each connection has its own item, so it hears itself and nobody else."""
    result = measure(faithful)

    assert result.problems == ()
    assert result.figures["round_trips"] > 0
    assert result.figures["p99_ms"] > 0


def test_finds_answers_that_come_twice() -> None:
    """The warm-up is a window like the others."""
    with pytest.raises(BenchError, match="answers came twice"):
        measure(lambda _: 2)


def test_finds_answers_that_do_not_come() -> None:
    """Each of three connections waits for its first."""
    with pytest.raises(BenchError, match="3 answers are missing"):
        measure(lambda _: 0)
