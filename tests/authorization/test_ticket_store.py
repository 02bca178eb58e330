"""Tickets in the engine: whatever goes wrong there lets nobody in."""

from __future__ import annotations

import asyncio

import pytest

from itemwire.authorization.ticket_store import EngineTickets
from itemwire_auth.errors import Unavailable
from tests.fakes import LateEngine


async def settled(engine: LateEngine, steps: int = 10) -> None:
    """Let the engine work, a step a tick."""
    for _ in range(steps):
        await asyncio.sleep(0)
        engine.settle()


def test_keeps_a_value_and_gives_it_once() -> None:
    """However far away the engine is."""
    engine = LateEngine()
    store = EngineTickets(engine)

    async def scene() -> list[bytes | None]:
        put, _ = await asyncio.gather(store.put("k", b"v", 30), settled(engine))
        takes = asyncio.gather(store.take("k"), store.take("k"))
        return [put, *(await asyncio.gather(takes, settled(engine)))[0]]

    assert asyncio.run(scene()) == [None, b"v", None]


@pytest.mark.parametrize("broken", ["put", "take"])
def test_says_that_it_is_away_when_the_engine_fails(broken: str) -> None:
    """Not that there is no such ticket, which would send the client for another one at once."""
    engine = LateEngine()
    engine.broken.add(broken)
    store = EngineTickets(engine)

    async def scene() -> None:
        call = store.put("k", b"v", 30) if broken == "put" else store.take("k")
        await asyncio.gather(call, settled(engine))

    with pytest.raises(Unavailable, match=f"{broken} is broken"):
        asyncio.run(scene())


def test_does_not_wait_for_ever_and_takes_no_answer_that_is_late() -> None:
    """An engine that hangs must not hold up those who knock (requirement 117)."""
    engine = LateEngine()
    store = EngineTickets(engine, seconds=0.01)

    async def scene() -> None:
        with pytest.raises(Unavailable, match=r"no answer in 0\.01 s"):
            await store.take("k")
        engine.settle()

    asyncio.run(scene())
