"""An engine server in the test's own loop, and nodes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from itemwire.engines.base import Engine
from itemwire.engines.memory import MemoryEngine
from itemwire.engines.unix.frames import frames_of
from itemwire.engines.unix.server import EngineServer
from itemwire.engines.unix.told_bounds import ToldBounds
from itemwire.engines.unix.words import (
    VERSION,
    BoundsWord,
    EngineWord,
    GreetingWord,
    RuleWord,
    Word,
    decode_engine_words,
    encode_word,
)
from tests.conformance.asked_engine import WAIT_SECONDS
from tests.engines.watched import BOUNDS

GREETING = GreetingWord(VERSION, BoundsWord.of(BOUNDS))
RULE = RuleWord(BoundsWord.of(BOUNDS))


@contextlib.asynccontextmanager
async def serving(folder: Path, engine: Engine | None = None) -> AsyncIterator[EngineServer]:
    """Serve an engine, by default one in memory, at `engine.sock` of a folder."""
    bounds = ToldBounds()
    server = EngineServer(engine or MemoryEngine(bounds), bounds)
    await server.start(str(folder / "engine.sock"))
    try:
        yield server
    finally:
        await server.stop()


class RawNode:
    """Somebody at the socket who says what the test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, *words: Word) -> None:
        """Say words in one frame."""
        for frame in frames_of([encode_word(word) for word in words]):
            self.writer.write(frame)

    async def hear(self) -> list[EngineWord]:
        """Give the words of the next frame; none, when the connection is over."""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                length = int.from_bytes(await self.reader.readexactly(4), "big")
                return decode_engine_words(await self.reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                return []

    async def end(self) -> list[EngineWord]:
        """Give all that is said until the connection is over."""
        heard: list[EngineWord] = []
        while words := await self.hear():
            heard += words
        return heard


@contextlib.asynccontextmanager
async def raw_node(folder: Path) -> AsyncIterator[RawNode]:
    """Connect to the socket of a folder."""
    reader, writer = await asyncio.open_unix_connection(str(folder / "engine.sock"))
    with contextlib.closing(writer):
        yield RawNode(reader, writer)
