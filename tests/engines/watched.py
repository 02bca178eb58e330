"""Records what a node's engine delivers of one channel, and what it reports as lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Final, Protocol

import pytest

from itemwire.engines import open_engine
from itemwire.engines.base import (
    ANSWER_SECONDS,
    Answer,
    Bounds,
    ChannelBounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.messages import Draft, Position, Publication
from tests.conformance.asked_engine import WAIT_SECONDS, answer_of
from tests.fakes import CHANNEL
from tests.timing import BUSY_SECONDS

BOUNDS: Final = Bounds(messages=1000, bytes=1_000_000, seconds=300)


class Watched:
    """An engine with a log of its channel: publications, and positions up to which all is lost."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.log: list[Publication | Position] = []
        self.noticed: list[bytes] = []
        self.told: list[bytes] = []
        self.missed: list[str] = []
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Watched]:
        """Keep the engine started, and hear the channel."""
        await self.engine.start(
            Sink(self._deliver, self._apply, self._lose, self._hear, self._miss)
        )
        try:
            await self.subscribe()
            yield self
        finally:
            await self.engine.stop()

    async def subscribe(self, channel: str = CHANNEL) -> None:
        """Hear a channel."""

        def ask(answer: Answer[None]) -> None:
            self.engine.subscribe(channel, answer)

        await answer_of(ask)

    async def publish(self, text: str, key: str | None = None) -> Position:
        """Publish; the answer comes in time, whatever it is."""
        draft = Draft("42", "alice", 1.5, text, key)

        def ask(answer: Answer[Position]) -> None:
            self.engine.publish(CHANNEL, draft, answer)

        begun = time.monotonic()
        try:
            return await answer_of(ask)
        finally:
            assert time.monotonic() - begun < ANSWER_SECONDS + BUSY_SECONDS

    async def publish_at_last(self, text: str) -> Position:
        """Publish again and again under one key, until it is stored: as a client does."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                return await self.publish(text, key=text)
            except EngineError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)  # a client's backoff

    async def read(
        self,
        span: Span = Span(1000),  # noqa: B008 - frozen
        channel: str = CHANNEL,
    ) -> History:
        """Read a channel."""

        def ask(answer: Answer[History]) -> None:
            self.engine.read(channel, span, answer)

        return await answer_of(ask)

    async def post(self, notice: bytes, seconds: float = 60) -> None:
        """Post a notice."""

        def ask(answer: Answer[None]) -> None:
            self.engine.post(notice, time.time() + seconds, answer)

        await answer_of(ask)

    async def tell(self, words: bytes) -> None:
        """Tell something on the channel."""

        def ask(answer: Answer[None]) -> None:
            self.engine.tell(CHANNEL, words, answer)

        await answer_of(ask)

    async def put(self, key: str, value: bytes, seconds: float = 60) -> None:
        """Keep a value."""

        def ask(answer: Answer[None]) -> None:
            self.engine.put(key, value, seconds, answer)

        await answer_of(ask)

    async def take(self, key: str) -> bytes | None:
        """Take a value."""

        def ask(answer: Answer[bytes | None]) -> None:
            self.engine.take(key, answer)

        return await answer_of(ask)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something that an arrival, or the time, brings."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not is_so():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.02)

    async def until_at(self, position: Position) -> None:
        """Wait until the log has come to a position."""
        await self.until(lambda: self.position == position)

    @property
    def position(self) -> Position | None:
        """Tell where the log stands; a publication alone does not name its epoch."""
        epoch = ""
        for entry in self.log:
            epoch = entry.epoch if isinstance(entry, Position) else epoch
        last = self.log[-1] if self.log else None
        return last if last is None or isinstance(last, Position) else Position(epoch, last.offset)

    @property
    def texts(self) -> list[object]:
        """List what was said in the publications."""
        return [entry.data for entry in self.log if isinstance(entry, Publication)]

    @property
    def losses(self) -> list[Position]:
        """List what it said was lost."""
        return [entry for entry in self.log if isinstance(entry, Position)]

    def check(self) -> None:
        """See that the log is in order, has nothing twice, and no hole that was not said."""
        for before, entry in zip(self.log, self.log[1:], strict=False):
            if isinstance(entry, Publication):
                assert entry.offset == before.offset + 1
        assert len(set(self.texts)) == len(self.texts)

    def _deliver(self, channel: str, publication: Publication) -> None:
        assert channel == CHANNEL
        self.log.append(publication)
        self._changed.set()

    def _hear(self, _channel: str, words: bytes) -> None:
        self.told.append(words)
        self._changed.set()

    def _miss(self, channel: str) -> None:
        self.missed.append(channel)
        self._changed.set()

    def _apply(self, notice: bytes) -> None:
        self.noticed.append(notice)
        self._changed.set()

    def _lose(self, channel: str, position: Position) -> None:
        assert channel == CHANNEL
        self.log.append(position)
        self._changed.set()


@contextlib.asynccontextmanager
async def node(url: str, bounds: ChannelBounds = BOUNDS) -> AsyncIterator[Watched]:
    """Run an engine that is watched: a node, as far as others can tell."""
    async with Watched(open_engine(url, bounds)).running() as watched:
        yield watched


def play(scene: Callable[[], Coroutine[object, object, None]]) -> None:
    """Play a scene on a loop of its own."""
    asyncio.run(scene())


class Pausable(Protocol):
    """A server that can be made to stand still."""

    def paused(self) -> AbstractContextManager[None]:
        """Let it do nothing for as long as this is entered."""
        ...


async def stand_still(server: Pausable, url: str) -> None:
    """Let the server of two nodes stand still for three seconds: all is answered, nothing lost."""
    async with node(url) as one, node(url) as other:
        await one.publish("before")
        with server.paused():
            stopped = time.monotonic()
            with pytest.raises(EngineError):
                await one.publish("meanwhile", key="meanwhile")
            # Until a node knows, what it refuses may be stored once the server goes on.
            await one.until(lambda: not one.engine.is_available)
            await other.until(lambda: not other.engine.is_available)
            assert time.monotonic() - stopped < 2.5 + BUSY_SECONDS
            with pytest.raises(EngineError):
                await one.publish("refused")
            with pytest.raises(EngineError):
                await one.read()
            await asyncio.sleep(max(3 - (time.monotonic() - stopped), 0))
        await one.publish_at_last("meanwhile")
        for each in (one, other):
            await each.until(lambda each=each: each.texts == ["before", "meanwhile"])  # type: ignore[misc] # a default is how a loop's lambda keeps its value
            await each.until(lambda each=each: each.engine.is_available)  # type: ignore[misc] # as above
            each.check()
            assert each.losses == []
