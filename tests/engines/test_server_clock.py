"""Engines whose server's clock jumps by an hour while it serves, and later jumps back."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.engines.watched import Watched, node, play
from tests.stress.machines import MACHINES, MachineServer

HOUR: Final = 3600.0


async def all_hear(text: str, *nodes: Watched) -> None:
    """Wait until each has delivered a message."""
    for each in nodes:
        await each.until(lambda each=each: each.texts[-1:] == [text])  # type: ignore[misc] # a default is how a loop's lambda keeps its value


@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "ends_epochs"),
    [
        pytest.param("postgresql+machine", False, id="postgresql"),
        pytest.param("redis+machine", True, id="redis"),
    ],
)
def test_what_a_step_of_the_clock_ends_is_forgotten_and_told(
    name: str, ends_epochs: bool, tmp_path: Path
) -> None:
    """One order for all nodes, and no offset twice (109, 116).

    Redis forgets an item when its time has come; PostgreSQL keeps one that somebody hears.
    """

    async def scene(machine: MachineServer) -> None:
        url = machine.process.url
        async with node(url) as one, node(url) as other:
            first = await one.publish("first")
            await all_hear("first", one, other)
            await asyncio.to_thread(machine.move_clock, HOUR)
            ahead = await other.publish("ahead", key="key")
            await all_hear("ahead", one, other)
            await asyncio.to_thread(machine.move_clock, 0)
            again = await one.publish("again", key="key")
            await asyncio.to_thread(machine.move_clock, -HOUR)
            behind = await other.publish("behind")
            await all_hear("behind", one, other)
            await asyncio.to_thread(machine.move_clock, 0)
            last = await one.publish("last")
            await all_hear("last", one, other)

            for each in (one, other):
                each.check()
                assert each.texts == ["first", "ahead", "behind", "last"]
                assert len(each.losses) == 2 * ends_epochs
            assert again == ahead
            epochs = [each.epoch for each in (first, ahead, behind, last)]
            changes = [epoch != before for before, epoch in pairwise(epochs)]
            assert changes == [ends_epochs, False, ends_epochs]

    with MACHINES[name](tmp_path) as machine:
        play(lambda: scene(machine))
