"""An engine that a test asks and waits for, and the bounds that it is opened with."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from typing_extensions import override

from itemwire.engines.base import (
    Answer,
    Bounds,
    ChannelBounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.messages import (
    NO_EXTRAS,
    Draft,
    Extras,
    Payload,
    Position,
    Publication,
)

T = TypeVar("T")

WAIT_SECONDS: Final = 30.0
BOUNDS: Final = Bounds(messages=20, bytes=1_000_000, seconds=300)

OWN_BOUNDS: Final = {
    "few": Bounds(messages=3, bytes=1_000_000, seconds=300),
    "small": Bounds(messages=20, bytes=11, seconds=300),
    "short": Bounds(messages=20, bytes=1_000_000, seconds=0.001),
    "many": Bounds(messages=30, bytes=1_000_000, seconds=600),
}


class OwnBounds(ChannelBounds):
    """Some channels, by the end of their name, have bounds of their own."""

    largest = Bounds(messages=30, bytes=1_000_000, seconds=600)

    @override
    def of(self, channel: str, /) -> Bounds:
        return OWN_BOUNDS.get(channel.rpartition(":")[2], BOUNDS)


class Asked:
    """An engine that is waited for, heard on one channel that nobody else uses."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.channel = f"item:{uuid.uuid4()}"
        self.delivered: asyncio.Queue[tuple[str, Publication]] = asyncio.Queue()
        self.noticed: asyncio.Queue[bytes] = asyncio.Queue()
        self.told: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Asked]:
        """Keep the engine started."""
        await self.engine.start(
            Sink(
                lambda channel, news: self.delivered.put_nowait((channel, news)),
                self.noticed.put_nowait,
                hear=lambda channel, words: self.told.put_nowait((channel, words)),
            )
        )
        try:
            yield self
        finally:
            await self.engine.stop()

    async def subscribe(self, channel: str | None = None) -> None:
        """Hear a channel."""

        def ask(answer: Answer[None]) -> None:
            self.engine.subscribe(channel or self.channel, answer)

        await answer_of(ask)

    async def publish(
        self,
        data: Payload = "hello",
        key: str | None = None,
        channel: str | None = None,
        sender: str | None = "alice",
        extras: Extras = NO_EXTRAS,
    ) -> Position:
        """Publish, and wait until it is stored."""
        draft = Draft("42", sender, 1.5, data, key, extras.meta, extras.end)
        return await answer_of(
            lambda answer: self.engine.publish(channel or self.channel, draft, answer)
        )

    async def read(self, span: Span, channel: str | None = None) -> History:
        """Read a part of the history."""
        return await answer_of(
            lambda answer: self.engine.read(channel or self.channel, span, answer)
        )

    async def post(self, notice: bytes, until: float) -> None:
        """Post a notice, and wait until it cannot be lost."""

        def ask(answer: Answer[None]) -> None:
            self.engine.post(notice, until, answer)

        await answer_of(ask)

    async def notices(self, count: int) -> list[bytes]:
        """Wait for so many notices, of those that this test has posted."""
        heard: list[bytes] = []
        while len(heard) < count:
            notice = await asyncio.wait_for(self.noticed.get(), WAIT_SECONDS)
            if notice.startswith(self.channel.encode()) and notice not in heard:
                heard.append(notice)
        return heard

    async def tell(self, words: bytes, channel: str | None = None) -> None:
        """Tell something, and wait until it is on its way."""

        def ask(answer: Answer[None]) -> None:
            self.engine.tell(channel or self.channel, words, answer)

        await answer_of(ask)

    async def hear_told(self, count: int) -> list[bytes]:
        """Wait for so many words that were told on the channel."""
        heard = []
        for _ in range(count):
            channel, words = await asyncio.wait_for(self.told.get(), WAIT_SECONDS)
            assert channel == self.channel
            heard.append(words)
        return heard

    def notice(self, name: str) -> bytes:
        """Write a notice that no other test has."""
        return f"{self.channel} {name}".encode()

    async def hear(self, count: int) -> list[Publication]:
        """Wait for so many deliveries on the channel."""
        heard = []
        for _ in range(count):
            channel, news = await asyncio.wait_for(self.delivered.get(), WAIT_SECONDS)
            assert channel == self.channel
            heard.append(news)
        return heard


async def answer_of(ask: Callable[[Answer[T]], None]) -> T:
    """Ask, and wait for the answer; a second answer fails the loop."""
    answered: asyncio.Future[T | EngineError] = asyncio.get_running_loop().create_future()
    ask(answered.set_result)
    result = await asyncio.wait_for(answered, WAIT_SECONDS)
    if isinstance(result, EngineError):
        raise result
    return result
