"""What every engine promises of the last message of channels that retain it, as tests."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final

from itemwire.engines.base import Bounds, ChannelBounds, Engine, Span
from itemwire.messages import Extras, Publication
from tests.conformance.asked_engine import BOUNDS, WAIT_SECONDS, Asked

MONTH: Final = 30 * 86_400.0
RETAINING: Final = replace(BOUNDS, retained=MONTH)
ALONE: Final = replace(RETAINING, messages=0)
LAST: Final = Span(0, retained=True)


class RetainedContract(ABC):
    """The promises of `Bounds.retained`, one test each."""

    @abstractmethod
    def open_engine(self, bounds: ChannelBounds) -> Engine:
        """Make the engine under test."""
        ...

    def last_of(self, bounds: Bounds, *data: str, span: Span = LAST) -> Publication | None:
        """Publish, and return what is retained."""

        async def play() -> Publication | None:
            async with Asked(self.open_engine(bounds)).running() as asked:
                for one in data:
                    await asked.publish(one, extras=Extras.of({"number": one}, end=False))
                return (await asked.read(span)).retained

        return asyncio.run(play())

    def test_keeps_the_last_message_beyond_every_other_bound(self) -> None:
        """Whole, with its offset, whatever the history keeps: none, too little, too short."""
        by_bounds: list[Bounds] = [
            ALONE,
            replace(RETAINING, bytes=0),
            replace(RETAINING, seconds=0.001),
        ]

        kept = [self.last_of(bounds, "first", "second") for bounds in by_bounds]

        assert [(one.data, one.offset, one.sender, one.meta) for one in kept if one] == [
            ("second", 2, "alice", {"number": "second"})
        ] * len(by_bounds)

    def test_keeps_none_where_nothing_says_so(self) -> None:
        """Nor before anything is published, nor where it was not asked for."""
        assert self.last_of(replace(BOUNDS, messages=0), "gone") is None
        assert self.last_of(RETAINING) is None
        assert self.last_of(RETAINING, "unasked", span=Span(0)) is None

    def test_is_found_only_where_the_history_does_not_have_it(self) -> None:
        """A reader of history gets it once."""
        assert self.last_of(RETAINING, "first", "second", span=Span(5, retained=True)) is None

    def test_channels_keep_their_own(self) -> None:
        """However their names are written."""

        async def play() -> list[bool]:
            async with Asked(self.open_engine(ALONE)).running() as asked:
                names = [asked.channel + end for end in ("", ":a", ":A", "%{}.*'")]
                for name in names:
                    await asked.publish(name, channel=name)
                kept = [(await asked.read(LAST, name)).retained for name in names]
                both = zip(kept, names, strict=True)
                return [one is not None and one.data == name for one, name in both]

        assert asyncio.run(play()) == [True] * 4

    def test_a_repeat_of_an_earlier_message_replaces_nothing(self) -> None:
        """Its key was stored before: nothing new was published."""

        async def play() -> Publication | None:
            async with Asked(self.open_engine(ALONE)).running() as asked:
                await asked.publish("first", key="k")
                await asked.publish("second")
                await asked.publish("first", key="k")
                return (await asked.read(LAST)).retained

        last = asyncio.run(play())

        assert last is not None
        assert (last.data, last.offset) == ("second", 2)

    def test_is_forgotten_when_its_time_is_up(self) -> None:
        """What nobody publishes to any more does not stay for ever."""
        bounds = replace(ALONE, retained=0.2)

        async def play() -> int:
            async with Asked(self.open_engine(bounds)).running() as asked:
                await asked.publish("short")
                for number in itertools.count():
                    if (await asked.read(LAST)).retained is None:
                        return number
                    await asyncio.sleep(0.05)  # time passing is what this is about
            raise AssertionError

        asyncio.run(asyncio.wait_for(play(), WAIT_SECONDS))


class NodesRetainedContract(ABC):
    """What they promise of it where nodes share a store."""

    @abstractmethod
    def open_engine(self, bounds: ChannelBounds) -> Engine:
        """Make the engine under test."""
        ...

    def test_is_the_last_of_many_that_two_nodes_publish_at_once(self) -> None:
        """What is retained is what has the last offset, on either of them."""
        name = f"item:{uuid.uuid4()}"

        async def play() -> list[tuple[int, int]]:
            one, other = (Asked(self.open_engine(ALONE)) for _ in range(2))
            async with one.running(), other.running():
                await asyncio.gather(
                    *(
                        asked.publish(f"{n}", channel=name)
                        for n in range(25)
                        for asked in (one, other)
                    )
                )
                read = [await asked.read(LAST, name) for asked in (one, other)]
                return [(one.position.offset, one.retained.offset) for one in read if one.retained]

        assert asyncio.run(play()) == [(50, 50)] * 2
