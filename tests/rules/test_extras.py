"""What an application's code gives a message beside its data."""

import asyncio

import pytest
from fastapi import FastAPI

from itemwire import Itemwire, Rights
from itemwire.messages import META_BYTES, Publication
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
            with pytest.raises(ValueError, match="meta"):
                await live.publish("answer:1", "!", meta={"a": "a" * META_BYTES})
            return (await live.history("answer:1")).publications

    stored = asyncio.run(scene())

    assert [one.meta for one in stored] == [{"model": "small"}] * 2
    assert [one.end is True for one in stored] == [False, True]
