"""Pacing: while much comes together, open sockets are still served."""

from __future__ import annotations

import asyncio
from functools import partial

from itemwire.pacing import LONG_TURN, Pacing
from itemwire.testing import Clock


async def turns(pacing: Pacing, names: range, went: list[object]) -> list[asyncio.Task[None]]:
    """Let so many come in one turn of the loop; each notes when it goes on."""

    async def come(name: int) -> None:
        await pacing.turn()
        went.append(name)

    return [asyncio.create_task(come(name)) for name in names]


def test_a_storm_goes_on_a_few_at_a_time_in_its_order() -> None:
    """Who is served already is heard in between, and nobody is passed by (requirement 96)."""

    async def storm() -> list[object]:
        went: list[object] = []

        def served() -> None:
            went.append("served")
            if len(went) < 24:
                asyncio.get_running_loop().call_soon(served)

        tasks = await turns(Pacing(at_once=4), range(12), went)
        served()
        await asyncio.gather(*tasks)
        return went

    went = asyncio.run(storm())

    assert [one for one in went if one != "served"] == list(range(12))
    assert all("served" in went[went.index(n) : went.index(n + 4)] for n in range(8))


def test_a_few_do_not_wait() -> None:
    """The twin: anyone who comes alone, or with a few, goes on at once; and so later on."""

    async def few() -> int:
        pacing, waits = Pacing(at_once=4), 0
        for _ in range(10):
            coroutines = [pacing.turn() for _ in range(4)]
            for coroutine in coroutines:
                try:
                    coroutine.send(None)
                except StopIteration:
                    continue
                waits += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return waits

    assert asyncio.run(few()) == 0


def test_who_is_gone_takes_no_turn() -> None:
    """A server that stops cancels handshakes: those behind them must not wait for ever."""

    async def storm() -> list[object]:
        went: list[object] = []
        tasks = await turns(Pacing(at_once=2), range(10), went)
        await asyncio.sleep(0)
        for task in tasks[3:9]:
            task.cancel()
        await asyncio.wait_for(asyncio.wait(tasks), 5)
        return went

    assert asyncio.run(storm()) == [0, 1, 2, 9]


def test_who_submits_is_called_in_its_order_and_never_at_once() -> None:
    """What is called back to must not run inside of what it waits for."""

    async def scene() -> list[list[int]]:
        pacing, called = Pacing(at_once=2), list[int]()
        for name in range(5):
            pacing.submit(partial(called.append, name))
        seen = [list(called)]
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(list(called))
        return seen

    assert asyncio.run(scene()) == [[], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4]]


def test_nobody_takes_a_place_ahead_of_who_waits() -> None:
    """A stranger that sends all the time would else keep the others waiting for ever."""

    async def scene() -> tuple[bool, bool]:
        pacing = Pacing(at_once=2)
        pacing.submit(list)
        ahead = pacing.take()
        await asyncio.sleep(0)
        return ahead, pacing.take()

    assert asyncio.run(scene()) == (False, True)


def test_who_has_nothing_to_do_takes_no_place() -> None:
    """A connection that is gone meanwhile costs the others nothing."""

    async def scene() -> list[str]:
        pacing, called = Pacing(at_once=1), list[str]()
        for _ in range(10):
            pacing.submit(lambda: False)
        pacing.submit(partial(called.append, "works"))
        await asyncio.sleep(0)
        return called

    assert asyncio.run(scene()) == ["works"]


def test_a_failure_keeps_nobody_waiting() -> None:
    """It is reported as that of any callback is, and the next ones have their places."""

    async def scene() -> list[str]:
        pacing, called = Pacing(at_once=1), list[str]()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: called.append(context["message"][:9]))
        pacing.submit(lambda: 1 / 0)
        pacing.submit(partial(called.append, "works"))
        for _ in range(3):
            await asyncio.sleep(0)
        return called

    assert asyncio.run(scene()) == ["Exception", "works"]


def test_a_loop_that_was_stopped_leaves_nobody_waiting() -> None:
    """An application may run on one event loop after the other, as test clients do."""
    pacing = Pacing(at_once=1)

    async def stopped() -> None:
        pacing.submit(list)
        pacing.submit(list)

    async def few() -> bool:
        await asyncio.wait_for(pacing.turn(), 5)
        return True

    loop = asyncio.new_event_loop()
    loop.run_until_complete(stopped())
    loop.close()

    assert asyncio.run(few())


def test_after_a_long_turn_half_as_many_begin() -> None:
    """Some requests cost many times what others do; who was served already must not wait longer."""

    async def begun(spent: float) -> list[int]:
        clock = Clock()
        pacing, called, seen = Pacing(at_once=4, clock=clock), list[int](), list[int]()

        def work(name: int) -> None:
            called.append(name)
            clock.advance(spent)

        for name in range(12):
            pacing.submit(partial(work, name))
        for _ in range(4):
            await asyncio.sleep(0)
            seen.append(len(called))
        return seen

    assert asyncio.run(begun(0)) == [4, 8, 12, 12]
    assert asyncio.run(begun(LONG_TURN / 5)) == [4, 8, 12, 12]
    assert asyncio.run(begun(LONG_TURN * 0.6)) == [4, 6, 8, 10]
