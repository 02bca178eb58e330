"""What every engine promises of a history that is emptied, as tests."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TypeVar

from itemwire.engines.base import EngineError, History, Span
from itemwire.messages import Position, Publication
from tests.conformance.asked_engine import Asked
from tests.conformance.on_one_engine import OnOneEngine
from tests.conformance.retained_contract import RETAINING

T = TypeVar("T")


class EraseContract(OnOneEngine):
    """The promises of `Engine.erase`, one test each."""

    def test_forgets_the_messages_and_keeps_the_position(self) -> None:
        """Whoever resumes from before is told that messages are missing, never nothing at all."""

        async def scene(asked: Asked) -> tuple[list[Position], History, History]:
            before = [await asked.publish(str(number)) for number in range(3)]
            await erased(asked)
            whole = await asked.read(Span(limit=10))
            return before, whole, await asked.read(Span(10, after=1))

        before, whole, missed = self.on(scene)

        assert whole.publications == []
        assert whole.position == before[-1]
        assert (missed.publications, missed.complete) == ([], False)

    def test_goes_on_with_the_next_offset(self) -> None:
        """In the same epoch, and a subscriber misses nothing."""

        async def scene(
            asked: Asked,
        ) -> tuple[list[Position], list[Publication], History, History]:
            await asked.subscribe()
            first = await asked.publish("before")
            await erased(asked)
            second = await asked.publish("after")
            heard = await asked.hear(2)
            from_first = await asked.read(Span(10, after=0))
            return [first, second], heard, from_first, await asked.read(Span(10, after=1))

        positions, heard, from_first, from_second = self.on(scene)

        assert [one.offset for one in positions] == [1, 2]
        assert positions[0].epoch == positions[1].epoch
        assert [one.data for one in heard] == ["before", "after"]
        assert [one.data for one in from_first.publications] == ["after"]
        assert not from_first.complete
        assert [one.data for one in from_second.publications] == ["after"]
        assert from_second.complete

    def test_forgets_what_is_retained(self) -> None:
        """Whoever comes late is told nothing of what an operator has deleted."""

        async def scene(asked: Asked) -> list[Publication | None]:
            span = Span(0, retained=True)
            await asked.publish("last")
            kept = [(await asked.read(span)).retained]
            await erased(asked)
            kept.append((await asked.read(span)).retained)
            await asked.publish("next")
            return [*kept, (await asked.read(span)).retained]

        kept = self.on(scene, replace(RETAINING, messages=5))

        assert [one and one.data for one in kept] == ["last", None, "next"]

    def test_spares_other_channels(self) -> None:
        """However alike their names are."""

        async def scene(asked: Asked) -> list[list[object]]:
            names = [asked.channel, f"{asked.channel}:a", f"{asked.channel}*", asked.channel[:-1]]
            for name in names:
                await asked.publish("kept", channel=name)
            await erased(asked)
            read = [await asked.read(Span(10), name) for name in names]
            return [[one.data for one in history.publications] for history in read]

        assert self.on(scene) == [[], ["kept"], ["kept"], ["kept"]]

    def test_a_channel_that_nobody_used_is_empty_already(self) -> None:
        """An operator may name any, and twice."""

        async def scene(asked: Asked) -> History:
            await erased(asked)
            await erased(asked)
            await asked.publish("first")
            return await asked.read(Span(10))

        history = self.on(scene)

        assert [one.data for one in history.publications] == ["first"]

    def test_a_repeat_is_still_known(self) -> None:
        """Its key was stored before: nothing is published a second time."""

        async def scene(asked: Asked) -> tuple[Position, Position, History]:
            first = await asked.publish("once", "key")
            await erased(asked)
            again = await asked.publish("once", "key")
            return first, again, await asked.read(Span(10))

        first, again, history = self.on(scene)

        assert first == again
        assert history.publications == []


async def erased(asked: Asked) -> None:
    """Empty the history of the channel, and wait until that is done."""
    answered: asyncio.Future[EngineError | None] = asyncio.get_running_loop().create_future()
    asked.engine.erase(asked.channel, answered.set_result)
    problem = await asyncio.wait_for(answered, 10)
    assert problem is None
