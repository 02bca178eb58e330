"""What runs as long as an engine does."""

from __future__ import annotations

import asyncio
from itertools import islice

import pytest

from itemwire.engines.tasks import FIRST_PAUSE, LONGEST_PAUSE, backoff, end, repeat


def test_pauses_grow_up_to_a_bound_and_are_never_the_same() -> None:
    """Nodes that lost one server must not all come back to it at once."""
    first, second = (list(islice(backoff(), 12)) for _ in range(2))
    bounds = [min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(12)]

    assert all(most / 2 <= pause <= most for pause, most in zip(first, bounds, strict=True))
    assert first != second


def test_goes_on_after_a_fault_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    """A task that nobody waits for ends without a word."""
    turns: list[int] = []
    enough = asyncio.Event()

    async def do() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise ZeroDivisionError
        enough.set()

    async def scene() -> None:
        task = asyncio.create_task(repeat(0, do))
        await enough.wait()
        await end(task)

    asyncio.run(scene())

    assert turns[:2] == [0, 1]
    assert caplog.text.count("engine_failed") == 1


def test_waits_until_all_have_ended() -> None:
    """What a task does at its end is done when this returns; nothing to end is no fault."""
    ended: list[str] = []

    async def run(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    async def scene() -> None:
        tasks = [asyncio.create_task(run(name)) for name in ("a", "b")]
        await asyncio.sleep(0)  # they have begun
        await end(None)
        await end(*tasks, None)

    asyncio.run(scene())

    assert sorted(ended) == ["a", "b"]
