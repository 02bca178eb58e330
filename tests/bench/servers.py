"""A small real server that sends each message to all subscribers, or fails to on purpose."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from itemwire.bench.target import PLAIN, BenchTarget, Dialect, target_of

WARM_UP = 50  # messages that every measure sends first


class Delivery(NamedTuple):
    """One message on its way to one watcher; both are counted from 0 for their item."""

    message: int
    watcher: int


Copies = Callable[[Delivery], int]


def faithful(_delivery: Delivery) -> int:
    """Deliver everything once."""
    return 1


class PassingOn:
    """Sends each message to all who watch the item, as often as `copies` says."""

    def __init__(self, copies: Copies = faithful, rest: float = 0) -> None:
        self.watching: defaultdict[str, list[ServerConnection]] = defaultdict(list)
        self.messages: defaultdict[str, int] = defaultdict(int)
        self.copies = copies
        self.rest = rest

    async def __call__(self, connection: ServerConnection) -> None:
        """Serve one socket."""
        assert connection.request is not None
        item = connection.request.path
        watchers = self.watching[item]
        watchers.append(connection)
        try:
            async for message in connection:
                await self.pass_on(item, message)
        except ConnectionClosed:
            pass  # a load generator ends with a reset
        finally:
            watchers.remove(connection)

    async def pass_on(self, item: str, message: str | bytes) -> None:
        """Send a message to all who watch."""
        number = self.messages[item]
        self.messages[item] += 1
        for place, watcher in enumerate(list(self.watching[item])):
            for _ in range(self.copies(Delivery(number, place))):
                with contextlib.suppress(ConnectionClosed):
                    await watcher.send(message)
        await asyncio.sleep(self.rest)


@contextlib.asynccontextmanager
async def serving(
    conduct: Callable[[ServerConnection], object] | PassingOn,
    *,
    dialect: Dialect = PLAIN,
    check: Callable[[ServerConnection, Request], Response | None] | None = None,
) -> AsyncIterator[BenchTarget]:
    """Run a server; give where it is."""
    async with serve(conduct, "127.0.0.1", 0, compression=None, process_request=check) as server:  # type: ignore[arg-type]  # a coroutine function, or an object with such a __call__
        yield target_of(f"http://127.0.0.1:{port_of(server)}", dialect=dialect)
        for connection in list(server.connections):
            connection.transport.abort()


def port_of(server: Server) -> int:
    """Give the port that it listens on."""
    (listener,) = server.sockets
    port: int = listener.getsockname()[1]
    return port
