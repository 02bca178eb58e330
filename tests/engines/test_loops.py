"""What runs as long as an engine does."""

from __future__ import annotations

import asyncio
from itertools import islice

from api.engines.loops import FIRST_PAUSE, LONGEST_PAUSE, backoff, end


def test_pauses_grow_up_to_a_bound_and_are_never_the_same() -> None:
    """Nodes that lost one server must not all come back to it at once."""
    first, second = (list(islice(backoff(), 12)) for _ in range(2))
    bounds = [min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(12)]

    assert all(most / 2 <= pause <= most for pause, most in zip(first, bounds, strict=True))
    assert first != second


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
