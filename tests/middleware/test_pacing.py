"""Pacing: during a storm of handshakes, open sockets are still served."""

from __future__ import annotations

import asyncio

from itemwire.middleware.pacing import Pacing


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
