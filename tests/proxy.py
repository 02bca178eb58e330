"""A TCP proxy that does to connections what networks do: cuts, silence, delay; TLS if asked."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

T = TypeVar("T")

CALL_SECONDS: Final = 5.0
CHUNK: Final = 65_536
QUIET_TURNS: Final = 5


class Proxy:
    """Passes bytes on to `port` of this machine; runs on a thread, so that any test may use it."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.target = port
        self.port = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_open = True
        self._flows = asyncio.Event()
        self._delay = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[Proxy]:
        """Listen on a free port for as long as this is entered."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        server = self._call(self._listen())
        try:
            yield self
        finally:
            self._call(self._close(server))
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(CALL_SECONDS)
            self._loop.close()

    def cut(self) -> None:
        """Break every connection, as a reset does; new ones are taken."""
        self._call(self._cut())

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Break every connection, and every new one at once."""
        self._is_open = False
        self.cut()
        try:
            yield
        finally:
            self._is_open = True

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Pass nothing on, and keep every connection open: a cable that was pulled."""
        self._loop.call_soon_threadsafe(self._flows.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flows.set)

    @contextlib.contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Hold up each piece for so long, one after the other."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(2 * CALL_SECONDS)

    async def _listen(self) -> asyncio.Server:
        self._flows.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self, server: asyncio.Server) -> None:
        self._is_open = False
        # asyncio forgets a connection whose server is closed between its accept and its first turn.
        for listening in server.sockets:
            self._loop.remove_reader(listening.fileno())
        await asyncio.sleep(0)
        server.close()
        await self._cut()
        self._flows.set()
        # A connection that was just accepted gets its task within two turns of the loop, and that
        # one may open another connection.
        quiet_turns = 0
        while quiet_turns < QUIET_TURNS:
            await asyncio.sleep(0)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            quiet_turns = 0 if others else quiet_turns + 1
            if others:
                _, late = await asyncio.wait(others, timeout=CALL_SECONDS)
                assert not late, late

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._is_open:
                onward = await asyncio.open_connection("127.0.0.1", self.target)
                self._writers.add(onward[1])
                await asyncio.gather(self._pump(reader, onward[1]), self._pump(onward[0], writer))
                self._writers.discard(onward[1])
        except OSError:
            pass  # the other side is away: so is this one
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                await asyncio.sleep(self._delay)
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # it was cut
        finally:
            writer.transport.abort()
