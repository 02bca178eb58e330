"""The `websockets` library and its `broadcast()`, on uvloop."""

import asyncio
from collections import defaultdict
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

from benchmarks.peers.serving import HOST, run
from benchmarks.tokens import subject_of

watching: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def check(connection: ServerConnection, request: Request) -> Response | None:
    """Refuse a handshake without a valid token."""
    token = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
    if subject_of(token) is None:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no valid token\n")
    return None


async def watch(connection: ServerConnection) -> None:
    """Send each message of a socket to all subscribers of the item."""
    assert connection.request is not None  # noqa: S101 - an open connection has one
    item = watching[urlsplit(connection.request.path).path]
    item.add(connection)
    try:
        async for message in connection:
            broadcast(item, message)
    finally:
        item.remove(connection)


async def serve_forever(port: int) -> None:
    """Serve without compression."""
    async with serve(watch, HOST, port, process_request=check, compression=None, backlog=4096):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    run(lambda port: uvloop.run(serve_forever(port)))
