"""Calls of an application's functions: bounded, in order, and ended with their node."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from itemwire.close_reasons import OVERLOADED
from itemwire.rules import calls
from itemwire.rules.calls import MAX_WAITING_BYTES, MAX_WAITING_OF_ONE, CallQueue, Calls


def run(scene: Callable[[Calls], Awaitable[None]], limit: int = 3) -> None:
    """Play a scene with calls that may wait up to a limit."""

    async def play() -> None:
        running = Calls(limit)
        async with running:
            await scene(running)
        assert not running.reserve(0)

    asyncio.run(play())


def test_what_waits_is_bounded() -> None:
    """By number and by bytes; room that is given back may be taken again."""

    async def scene(running: Calls) -> None:
        assert [running.reserve(1) for _ in range(4)] == [True, True, True, False]
        running.release(1)
        assert not running.reserve(MAX_WAITING_BYTES)
        assert running.reserve(MAX_WAITING_BYTES - 2)
        assert not running.reserve(1)

    run(scene)


def test_one_client_has_a_share() -> None:
    """Of what waits; what it is refused is not done, and what was taken is done in order."""
    done: list[int] = []

    async def scene(running: Calls) -> None:
        queue = CallQueue(running)
        ended = asyncio.Event()

        def work(number: int) -> calls.Work:
            async def do() -> None:
                await asyncio.sleep(0)
                done.append(number)
                if number == 1:
                    raise ValueError("the next is done all the same")
                if number == MAX_WAITING_OF_ONE - 1:
                    ended.set()

            return do

        taken = [queue.submit(work(number), 1) for number in range(MAX_WAITING_OF_ONE + 2)]
        assert taken == [True] * MAX_WAITING_OF_ONE + [False] * 2
        await ended.wait()

    run(scene, 1000)
    assert done == list(range(MAX_WAITING_OF_ONE))


def test_a_call_that_hangs_keeps_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread nothing can end it; who waits for the slot is refused in time."""
    monkeypatch.setattr(calls, "AT_ONCE", 1)
    monkeypatch.setattr(calls, "DECISION_SECONDS", 0.01)

    async def scene(running: Calls) -> None:
        released = asyncio.Event()

        async def hang() -> str:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:  # as a thread does not heed it
                    continue
            return "late"

        async def answer() -> str:
            return "soon"

        assert await running.within_deadline(hang, "hang") is OVERLOADED
        assert await running.within_deadline(answer, "answer") is OVERLOADED
        released.set()
        monkeypatch.setattr(calls, "DECISION_SECONDS", 10)
        assert await running.within_deadline(answer, "answer") == "soon"

    run(scene)


def test_what_waits_at_the_end_is_not_done() -> None:
    """The call that runs is cancelled, and the room of all is given back."""
    done: list[str] = []

    async def scene(running: Calls) -> None:
        queue, begun = CallQueue(running), asyncio.Event()

        async def hang() -> None:
            begun.set()
            await asyncio.Event().wait()

        async def after() -> None:
            done.append("after")

        assert queue.submit(hang, 1)
        assert queue.submit(after, 1)
        await begun.wait()

    run(scene)
    assert done == []


def test_what_has_a_grace_is_done() -> None:
    """A node that stops still does what waits, if that takes no longer than the grace."""
    done: list[str] = []

    async def play() -> None:
        async with Calls(grace=10) as running:

            async def work() -> None:
                await asyncio.sleep(0)
                done.append("done")

            assert CallQueue(running).submit(work, 0)

    asyncio.run(play())
    assert done == ["done"]
