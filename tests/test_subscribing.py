"""What code that listens gets: each message in order, and what it missed in its place."""

import asyncio

import pytest

from itemwire import MessagesLost
from itemwire.messages import Gap, Publication
from itemwire.subscribing import MAX_WAITING, ItemMessages


def of(offset: int, item: str = "a") -> Publication:
    """Make a message with this offset."""
    return Publication(item, offset, None, 0.0, "x")


def test_a_slow_reader_is_told_what_it_missed() -> None:
    """In the place of what is lost, and then it may go on."""

    async def scene() -> tuple[int, MessagesLost, int]:
        messages = ItemMessages()
        messages.begin("a", "e")
        for offset in range(1, MAX_WAITING + 11):
            messages.hear(of(offset))
        for _ in range(MAX_WAITING):
            last = await anext(messages)
        with pytest.raises(MessagesLost) as lost:
            await anext(messages)
        messages.hear(of(MAX_WAITING + 11))
        return last.offset, lost.value, (await anext(messages)).offset

    last, lost, next_offset = asyncio.run(scene())

    assert last == MAX_WAITING
    assert (lost.item, lost.epoch) == ("a", "e")
    assert (lost.first, lost.last) == (MAX_WAITING + 1, MAX_WAITING + 10)
    assert next_offset == MAX_WAITING + 11


def test_a_loss_of_the_engine_is_told() -> None:
    """A new epoch is, too."""

    async def scene() -> MessagesLost:
        messages = ItemMessages()
        messages.hear(Gap("a", "new", 1, 7))
        with pytest.raises(MessagesLost, match="1 to 7 of a") as lost:
            await anext(messages)
        return lost.value

    assert asyncio.run(scene()).epoch == "new"
