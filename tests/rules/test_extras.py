"""What an application's code gives a message beside its data."""

import asyncio

import pytest
from fastapi import FastAPI

from itemwire import Itemwire, Rights
from itemwire.messages import META_BYTES, Publication
from itemwire.subscribing import ItemMessage
from tests.test_startup_checks import settings_of


def test_code_publishes_with_meta_and_an_end() -> None:
    """To an item, and to a channel's."""
    live = Itemwire(settings=settings_of())

    @live.channel("answer:{number}")
    async def answer(number: int) -> Rights:
        return Rights("subscribe")

    async def scene() -> list[Publication]:
        async with live.lifespan(FastAPI()):
            await live.publish("answer:1", "Hel", meta={"model": "small"})
            await answer.publish("lo", number=1, meta={"model": "small"}, end=True)
            await asyncio.to_thread(live.publish_sync, "answer:1", "?", meta={"a": "b"}, end=True)
            with pytest.raises(ValueError, match="meta"):
                await live.publish("answer:1", "!", meta={"a": "a" * META_BYTES})
            return (await live.history("answer:1")).publications

    stored = asyncio.run(scene())

    assert [one.meta for one in stored] == [{"model": "small"}, {"model": "small"}, {"a": "b"}]
    assert [one.end is True for one in stored] == [False, True, True]
    assert {one.sender for one in stored} == {None}


def test_code_that_hears_an_item_gets_them() -> None:
    """As clients do; and nothing in their place where none were given."""
    live = Itemwire(settings=settings_of())

    async def scene() -> list[ItemMessage]:
        async with live.lifespan(FastAPI()), live.subscribe("answer:1") as messages:
            await live.publish("answer:1", "Hel")
            await live.publish("answer:1", "lo", meta={"model": "small"}, end=True)
            return [await anext(messages) for _ in range(2)]

    heard = asyncio.run(scene())

    assert [(one.meta, one.end) for one in heard] == [(None, False), ({"model": "small"}, True)]
