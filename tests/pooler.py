"""A pooler before PostgreSQL: each transaction gets another of its connections to the server."""

from __future__ import annotations

import asyncio
import secrets
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final

LENGTH: Final = struct.Struct("!I")
ENCRYPT: Final = (80877103, 80877104)  # SSLRequest, GSSENCRequest
IDLE: Final = b"Z" + LENGTH.pack(5) + b"I"  # the server is ready, in no transaction

Messages = asyncio.Queue[bytes]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pooler:
    """Speaks as pgbouncer does with `pool_mode=transaction`, or `session`."""

    def __init__(self, port: int, mode: str, size: int) -> None:
        self._server_port = port
        self._mode = mode
        self._size = size
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve for as long as this is entered."""
        self._opened: list[asyncio.StreamWriter] = []
        self._free: deque[Streams] = deque()
        self._changed = asyncio.Condition()
        self._greeting = b""
        for _ in range(self._size):
            self._free.append(await self._connect())
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for writer in self._opened:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _connect(self) -> Streams:
        """Open one connection to the server, and keep what it says of itself."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._opened.append(writer)
        words = b"user\0postgres\0database\0postgres\0\0"
        writer.write(LENGTH.pack(8 + len(words)) + LENGTH.pack(196608) + words)
        greeting = b""
        while True:
            message = await _message(reader)
            if message == IDLE:
                break
            if message[:1] in (b"R", b"S"):
                greeting += message
        self._greeting = greeting
        return reader, writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give a client one connection to the server for each of its transactions."""
        self._opened.append(writer)
        try:
            while LENGTH.unpack((await _start(reader))[:4])[0] in ENCRYPT:
                writer.write(b"N")
            own = b"K" + LENGTH.pack(12) + secrets.token_bytes(8)  # no process of the server's
            writer.write(self._greeting + own + IDLE)
            if self._mode == "session":
                await self._session(reader, writer)
            else:
                await self._transactions(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await self._connect()

        async def answer() -> None:
            while data := await server[0].read(65_536):
                writer.write(data)

        answering = asyncio.create_task(answer())
        try:
            while data := await reader.read(65_536):
                server[1].write(data)
        finally:
            answering.cancel()
            server[1].close()

    async def _transactions(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        messages: Messages = asyncio.Queue()
        serving = asyncio.create_task(self._serve_all(messages, writer))
        try:
            await _read(reader, messages)
        finally:
            serving.cancel()

    async def _serve_all(self, messages: Messages, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._transaction(messages, writer)

    async def _transaction(self, messages: Messages, writer: asyncio.StreamWriter) -> None:
        first = await messages.get()
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._free))
            server = self._free.popleft()
        try:
            server[1].write(first)
            passing = asyncio.create_task(_pass(messages, server[1]))
            try:
                await _answer(server[0], writer)
            finally:
                passing.cancel()
        finally:
            async with self._changed:
                self._free.append(server)
                self._changed.notify()


async def _pass(messages: Messages, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(await messages.get())


async def _read(reader: asyncio.StreamReader, messages: Messages) -> None:
    while True:
        messages.put_nowait(await _message(reader))


async def _start(reader: asyncio.StreamReader) -> bytes:
    size = LENGTH.unpack(await reader.readexactly(4))[0]
    return await reader.readexactly(size - 4)


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(LENGTH.unpack(head[1:])[0] - 4)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what the server answers, until its transaction is over."""
    message = b""
    while message != IDLE:
        message = await _message(reader)
        writer.write(message)


@contextmanager
def pooled(port: int, mode: str = "transaction", size: int = 4) -> Iterator[str]:
    """Run a pooler in a thread, and give its URL."""
    pooler = Pooler(port, mode, size)
    serves = threading.Event()
    stops: list[Callable[[], object]] = []

    async def run() -> None:
        ends = asyncio.Event()
        async with pooler.running():
            stops.append(partial(asyncio.get_running_loop().call_soon_threadsafe, ends.set))
            serves.set()
            await ends.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert serves.wait(20)
    try:
        yield f"postgresql://postgres@127.0.0.1:{pooler.port}/postgres"
    finally:
        stops[0]()
        thread.join()
