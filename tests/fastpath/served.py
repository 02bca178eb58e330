"""A real uvicorn with a small ASGI application, and a client that can break the rules."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from websockets.frames import Frame, Opcode

from itemwire.fastpath.http import HttpProtocol
from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.testing.servers import end_at_once

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HEADERS = (
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
CLOSE_SECONDS = 0.3
MAX_MESSAGE_BYTES = 64 * 1024


@dataclass(slots=True)
class Site:
    """The running server as a test sees it: where it is, and what happened inside."""

    server: uvicorn.Server
    events: queue.Queue[object] = field(default_factory=queue.Queue)
    lost: queue.Queue[object] = field(default_factory=queue.Queue)
    transports: list[asyncio.Transport] = field(default_factory=list)  # of the upgraded
    proceed: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> tuple[str, int]:
        """Say where the server listens."""
        name: tuple[str, int] = self.server.servers[0].sockets[0].getsockname()
        return name

    def url(self, path: str = "/echo") -> str:
        """Write the address as a WebSocket client wants it."""
        return f"ws://127.0.0.1:{self.address[1]}{path}"

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Be the application."""
        await ROUTES[scope["path"]](self, scope, receive, send)


@contextmanager
def serving(
    ws: type[asyncio.Protocol] = WebSocketProtocol,
    http: type[asyncio.Protocol] | str = HttpProtocol,
    limits: Mapping[str, object] | None = None,
    **settings: Any,  # noqa: ANN401 - uvicorn's
) -> Iterator[Site]:
    """Run a server in a thread, with a `close_seconds` short enough for a test to wait for.

    `limits` are class attributes of the WebSocket class, for bounds that take too long to reach.
    """
    site: Site

    class Observed(ws):  # type: ignore[misc, valid-type]  # mypy: a base class from an argument
        close_seconds = settings.pop("close_seconds", CLOSE_SECONDS)

        def connection_made(self, transport: asyncio.Transport) -> None:
            site.transports.append(transport)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            site.lost.put(exc)

    for name, value in (limits or {}).items():
        setattr(Observed, name, value)

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await site(scope, receive, send)

    config = uvicorn.Config(
        app,
        port=0,
        http=http,
        ws=Observed,
        lifespan="off",
        log_config=None,
        log_level="debug",
        ws_max_size=MAX_MESSAGE_BYTES,
        timeout_graceful_shutdown=5,
        **settings,
    )
    site = Site(uvicorn.Server(config))
    started = threading.Event()
    site.server.config.callback_notify = _set(started)
    site.server.config.timeout_notify = 0
    end = end_at_once(site.server)
    thread = threading.Thread(target=site.server.run)
    thread.start()
    try:
        assert started.wait(10)
        yield site
    finally:
        site.proceed.set()
        end()
        thread.join()


def _set(event: threading.Event) -> Callable[[], Awaitable[None]]:
    async def notify() -> None:  # uvicorn calls it from its main loop: it is listening
        event.set()

    return notify


async def _echo(site: Site, scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    offered = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
    while (message := await receive())["type"] == "websocket.receive":
        if (message.get("text") or "").startswith("close "):
            _, code, reason = message["text"].split(" ", 2)
            await send({"type": "websocket.close", "code": int(code), "reason": reason})
        else:
            await send({**message, "type": "websocket.send"})
    site.events.put((message.get("code"), message.get("reason")))


async def _fill(send: Send) -> None:
    """Send until the peer's buffers and ours are full."""
    while True:
        try:
            async with asyncio.timeout(0.5):
                await send({"type": "websocket.send", "bytes": bytes(64 * 1024)})
        except TimeoutError:
            return


async def _stuck(
    site: Site, receive: Receive, send: Send, then: Callable[[], Awaitable[object]]
) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await _fill(send)
    site.events.put("full")
    await then()
    site.events.put("done")


async def _return(site: Site, _scope: dict[str, Any], receive: Receive, send: Send) -> None:
    async def nothing() -> None: ...

    await _stuck(site, receive, send, nothing)


async def _hold(site: Site, _scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await _stuck(site, receive, send, receive)


async def _shed(site: Site, _scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Close a peer that does not read, while another task waits to send to it."""

    async def close() -> None:
        waiting = asyncio.create_task(_send_error(send))
        await asyncio.sleep(0)
        await send({"type": "websocket.close", "code": 1008, "reason": "slow_consumer"})
        site.events.put(await waiting)

    await _stuck(site, receive, send, close)


async def _send_error(send: Send) -> BaseException | None:
    try:
        await send({"type": "websocket.send", "text": "late"})
    except (OSError, RuntimeError) as error:
        return error
    return None


async def _slow(site: Site, scope: dict[str, Any], receive: Receive, send: Send) -> None:
    site.events.put("asked")
    await asyncio.to_thread(site.proceed.wait, 5)
    await _echo(site, scope, receive, send)


async def _deny(_site: Site, _scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def _silent(_site: Site, _scope: dict[str, Any], receive: Receive, _send: Send) -> None:
    await receive()


async def _page(_site: Site, _scope: dict[str, Any], receive: Receive, send: Send) -> None:
    size = 0
    while (message := await receive()).get("more_body"):
        size += len(message["body"])
    size += len(message.get("body", b""))  # there is none where the client left
    body = str(size).encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def _refuse(_site: Site, _scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Accept, only to say why not."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1008, "reason": "credentials_invalid"})


async def _used(_site: Site, _scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Send something, and close."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello"})
    await send({"type": "websocket.close", "code": 1008, "reason": "slow_consumer"})


async def _early(_site: Site, _scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    """Answer without a look at the body."""
    await send({"type": "http.response.start", "status": 200, "headers": [LENGTH_5]})
    await send({"type": "http.response.body", "body": b"early"})


async def _slow_page(site: Site, scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer when told to."""
    site.events.put("asked")
    await asyncio.to_thread(site.proceed.wait, 5)
    site.proceed.clear()
    await send({"type": "http.response.start", "status": 200, "headers": [LENGTH_4]})
    await send({"type": "http.response.body", "body": b"slow"})


LENGTH_4, LENGTH_5 = (b"content-length", b"4"), (b"content-length", b"5")
ROUTES: dict[str, Callable[[Site, dict[str, Any], Receive, Send], Awaitable[None]]] = {
    "/echo": _echo,
    "/return": _return,
    "/hold": _hold,
    "/shed": _shed,
    "/slow": _slow,
    "/deny": _deny,
    "/silent": _silent,
    "/page": _page,
    "/early": _early,
    "/refuse": _refuse,
    "/used": _used,
    "/slow-page": _slow_page,
}


def head(
    path: str = "/echo", *extra: str, without: str = "", line: str = "GET {} HTTP/1.1"
) -> bytes:
    """Write an upgrade request, less the header whose name is `without`."""
    kept = [header for header in HEADERS if not without or not header.startswith(without)]
    return "\r\n".join([line.format(path), *kept, *extra, "", ""]).encode()


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    """Write a client's frame."""
    return Frame(opcode, payload, fin).serialize(mask=True)


def close_frame(code: int, reason: str = "") -> bytes:
    """Write the close frame a server would send."""
    return Frame(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode()).serialize(mask=False)


def dial(site: Site, data: bytes = b"") -> socket.socket:
    """Open a connection and send; whatever is awaited on it has five seconds."""
    client = socket.create_connection(site.address, timeout=5)
    client.sendall(data)
    return client


def upgrade(site: Site, path: str = "/echo") -> socket.socket:
    """Open a WebSocket and read no further than the 101."""
    client = dial(site, head(path))
    answer = read_until(client, b"\r\n\r\n", at_once=1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return client


def read_until(client: socket.socket, end: bytes, at_once: int = 1 << 16) -> bytes:
    """Read until what was received ends so."""
    received = b""
    while not received.endswith(end):
        data = client.recv(at_once)
        assert data, received[-1000:]
        received += data
    return received


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes its side."""
    received = bytearray()
    while data := client.recv(1 << 16):
        received += data
    return bytes(received)
