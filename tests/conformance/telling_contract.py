"""What every engine promises of words that are told on a channel and not stored, as tests."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TypeVar

from itemwire.engines.base import TOLD_BYTES, ChannelBounds, Engine, History, Span
from itemwire.messages import Publication
from tests.conformance.asked_engine import BOUNDS, Asked
from tests.conformance.on_one_engine import OnOneEngine

T = TypeVar("T")

WORDS = (b"one", b"", b"\x00\xff |/ {}", "tëxt 😀".encode(), b"one", b'{"a":1}')


async def hear_until(asked: Asked, last: bytes) -> list[bytes]:
    """Wait for what is told, up to these words."""
    heard: list[bytes] = []
    while last not in heard:
        heard += await asked.hear_told(1)
    return heard


class TellingContract(OnOneEngine):
    """The promises of `Engine.tell`, one test each."""

    def test_carries_words_to_the_node_that_tells_them_too(self) -> None:
        """As they are, in their order, and once each."""

        async def scene(asked: Asked) -> list[bytes]:
            await asked.subscribe()
            for words in WORDS:
                await asked.tell(words)
            return await asked.hear_told(len(WORDS))

        assert self.on(scene) == list(WORDS)

    def test_keeps_the_order_of_what_is_told_without_waiting(self) -> None:
        """A node tells many at once."""
        words = [f"{number}".encode() for number in range(200)]

        async def scene(asked: Asked) -> list[bytes]:
            await asked.subscribe()
            await asyncio.gather(*map(asked.tell, words))
            return await asked.hear_told(len(words))

        assert self.on(scene) == words

    def test_stores_nothing(self) -> None:
        """The history has no offset more, and who subscribes later does not hear it."""

        async def scene(asked: Asked) -> tuple[History, list[bytes]]:
            await asked.tell(b"before")
            await asked.subscribe()
            await asked.tell(b"after")
            heard = await hear_until(asked, b"after")
            return await asked.read(Span(limit=10)), heard

        history, heard = self.on(scene)

        assert (history.position.offset, history.publications) == (0, [])
        assert heard in ([b"after"], [b"before", b"after"])  # it may still be on its way

    def test_carries_as_much_at_once_as_is_promised(self) -> None:
        """Pages of members are long."""
        words = bytes(number % 251 for number in range(TOLD_BYTES))

        async def scene(asked: Asked) -> list[bytes]:
            await asked.subscribe()
            await asked.tell(words)
            await asked.tell(b"short")
            return await asked.hear_told(2)

        assert self.on(scene) == [words, b"short"]

    def test_is_heard_on_its_channel_alone_and_no_more_once_that_is_left(self) -> None:
        """Only nodes that hear an item pay for it."""

        async def scene(asked: Asked) -> list[bytes]:
            await asked.subscribe()
            for channel in (asked.channel + ":other", asked.channel[:-1]):
                await asked.tell(b"elsewhere", channel)
            await asked.tell(b"here")
            heard = await asked.hear_told(1)
            asked.engine.unsubscribe(asked.channel)
            await asked.tell(b"left")
            await asked.subscribe()
            await asked.tell(b"again")
            return heard + await hear_until(asked, b"again")

        heard = self.on(scene)

        assert [one for one in heard if one != b"left"] == [b"here", b"again"]

    def test_leaves_the_messages_of_the_channel_as_they_are(self) -> None:
        """Both go the same way, and neither is taken for the other."""

        async def scene(asked: Asked) -> tuple[list[Publication], list[bytes], History]:
            await asked.subscribe()
            for number in range(5):
                await asked.publish(str(number))
                await asked.tell(str(number).encode())
            return (
                await asked.hear(5),
                await asked.hear_told(5),
                await asked.read(Span(limit=10)),
            )

        published, told, history = self.on(scene)

        assert [one.data for one in published] == ["0", "1", "2", "3", "4"]
        assert published == history.publications
        assert told == [b"0", b"1", b"2", b"3", b"4"]


class NodesTellingContract(ABC):
    """The same where several nodes share the engine."""

    @abstractmethod
    def open_engine(self, bounds: ChannelBounds) -> Engine:
        """Make the engine under test."""
        ...

    def test_carries_words_to_all_nodes_that_hear_the_channel_and_to_no_other(self) -> None:
        """Who hears nothing of an item pays nothing for it."""

        async def play() -> tuple[list[list[bytes]], bool]:
            nodes = [Asked(self.open_engine(BOUNDS)) for _ in range(3)]
            async with nodes[0].running(), nodes[1].running(), nodes[2].running():
                nodes[1].channel = nodes[0].channel
                for node in nodes:
                    await node.subscribe()
                # A cluster passes nothing on until all its servers know of the subscription.
                await nodes[1].publish("first", channel=nodes[0].channel)
                await asyncio.gather(*(node.hear(1) for node in nodes[:2]))
                await nodes[2].tell(b"from outside", nodes[0].channel)
                heard = [await node.hear_told(1) for node in nodes[:2]]
                await nodes[0].tell(b"one")
                await nodes[0].tell(b"two")
                heard += [await node.hear_told(2) for node in nodes[:2]]
                await nodes[2].tell(b"own")
                return [*heard, await nodes[2].hear_told(1)], nodes[2].told.empty()

        heard, is_all = asyncio.run(play())

        assert heard == [*[[b"from outside"]] * 2, *[[b"one", b"two"]] * 2, [b"own"]]
        assert is_all
