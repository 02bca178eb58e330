"""A TCP proxy that does to connections what networks do: cuts, silence, delay; TLS if asked.

It also lets connections die without a word: their clients are not told that they are over.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final, TypeVar

T = TypeVar("T")

_numbers = itertools.count(1)

CALL_SECONDS: Final = 5.0
CHUNK: Final = 65_536
QUIET_TURNS: Final = 5


class ProxiedConnection:
    """One connection: `client` is who connected to the proxy, and `server` where it leads."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.is_dead = False  # the client is kept, and told nothing more
        self.is_halved = False  # it dies in the middle of the next answer

    def pass_answer(self, data: bytes) -> None:
        """Pass on what the server says, or half of it and then nothing more."""
        if self.is_halved:
            data, self.is_dead = data[: len(data) // 2], True
        self.client.write(data)


class Proxy:
    """Passes bytes on to `port` of this machine; runs on a thread, so that any test may use it.

    A socket of a folder is reached by its path, at one with another name beside it.
    """

    def __init__(self, port: int | str, tls: ssl.SSLContext | None = None) -> None:
        self.target = port
        self.port = 0
        self.path = f"{port}-{next(_numbers)}" if isinstance(port, str) else ""
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._connections: set[ProxiedConnection] = set()
        self._serving: set[asyncio.Task[None] | None] = set()
        self._is_open = True
        self._loses_ends = False
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
        with self.closed():
            self.cut()
            yield

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Break every new connection at once; those that are there stay."""
        self._is_open = False
        try:
            yield
        finally:
            self._is_open = True

    @contextlib.contextmanager
    def losing_ends(self) -> Iterator[None]:
        """Pass everything on but that the server has ended a connection."""
        self._loses_ends = True
        try:
            yield
        finally:
            self._loses_ends = False

    @property
    def dead(self) -> int:
        """Count the connections that are dead, or will be, and that no client has ended yet."""
        return sum(one.is_dead or one.is_halved for one in self._connections)

    def lose_ends(self) -> None:
        """End every connection to the server; no client is told."""
        self._each(_lose_end)

    def freeze(self) -> None:
        """Pass nothing on, either way, and keep everything open; new connections are served."""
        self._each(_freeze)

    def halve(self) -> None:
        """Let every connection freeze in the middle of its next answer."""
        self._each(_halve)

    def say(self, words: bytes) -> None:
        """Tell every client this in the server's name, and then nothing more."""
        self._each(partial(_say, words))

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
        if self.path:
            return await asyncio.start_unix_server(self._accept, self.path)
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
        for one in self._connections:
            one.client.transport.abort()
            one.server.transport.abort()

    def _each(self, do: Callable[[ProxiedConnection], None]) -> None:
        async def do_all() -> None:
            for one in self._connections:
                do(one)

        self._call(do_all())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._serving.add(task)  # once its client has ended, nobody else holds it
        try:
            if self._is_open:
                answers, server = await self._reach()
                await self._pass(ProxiedConnection(writer, server), reader, answers)
        except OSError:
            pass  # the other side is away: so is this one
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, str):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _pass(
        self, one: ProxiedConnection, asked: asyncio.StreamReader, answers: asyncio.StreamReader
    ) -> None:
        """Pass on what both sides say; with its client, a connection is always over."""
        self._connections.add(one)
        answering = asyncio.create_task(self._pass_answers(one, answers))
        try:
            while data := await asked.read(CHUNK):
                await self._hold_up()
                if not one.is_dead:
                    one.server.write(data)
                    with contextlib.suppress(OSError):  # `_pass_answers` sees that it is over
                        await one.server.drain()
        finally:
            self._connections.discard(one)
            one.server.transport.abort()
            await answering

    async def _pass_answers(self, one: ProxiedConnection, answers: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):  # it was cut
            while data := await answers.read(CHUNK):
                await self._hold_up()
                if not one.is_dead:
                    one.pass_answer(data)
                    await one.client.drain()
        one.is_dead = one.is_dead or self._loses_ends
        if not one.is_dead:
            one.client.transport.abort()

    async def _hold_up(self) -> None:
        await asyncio.sleep(self._delay)
        await self._flows.wait()


def _lose_end(one: ProxiedConnection) -> None:
    one.is_dead = True
    one.server.transport.abort()


def _freeze(one: ProxiedConnection) -> None:
    one.is_dead = True


def _halve(one: ProxiedConnection) -> None:
    one.is_halved = True


def _say(words: bytes, one: ProxiedConnection) -> None:
    one.is_dead = True
    one.client.write(words)
