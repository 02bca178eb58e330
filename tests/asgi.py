"""An ASGI server's half of one WebSocket, made by hand, and a session that takes notes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final

from starlette.types import Message
from starlette.websockets import WebSocket
from typing_extensions import override

from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.sessions.echo import EchoSession
from itemwire.messages import Frame
from itemwire.transports.asgi import drive
from itemwire.wire.base import Codec
from tests.fakes import JSON, Stage, principal

WAIT_SECONDS: Final = 5.0


class Server:
    """A socket whose peer reads, and answers a close, as long as it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.answers_close = True
        self.close_overtakes = True  # as on a server that can send it to a peer that does not read
        self.sent: list[Message] = []
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.says({"type": "websocket.connect"})

    async def receive(self) -> Message:
        """Give the application the next message."""
        return await self._incoming.get()

    async def send(self, message: Message) -> None:
        """Take a message of the application, which waits while the peer does not read."""
        waits = {"websocket.send": True, "websocket.close": not self.close_overtakes}
        if waits.get(message["type"]):
            await self.reads.wait()
        self.sent.append(message)
        if message["type"] == "websocket.close" and self.answers_close:
            self.leaves(message["code"])

    def says(self, *messages: Frame | Message) -> None:
        """Let the peer send these."""
        for message in messages:
            if isinstance(message, str):
                self._incoming.put_nowait({"type": "websocket.receive", "text": message})
            elif isinstance(message, bytes):
                self._incoming.put_nowait({"type": "websocket.receive", "bytes": message})
            else:
                self._incoming.put_nowait(dict(message))

    def leaves(self, code: int) -> None:
        """Let the peer be gone."""
        self.says({"type": "websocket.disconnect", "code": code})

    @property
    def frames(self) -> list[Frame | int]:
        """List what was sent: frames, and the code of the close."""
        return [
            message["code"]
            if message["type"] == "websocket.close"
            else message.get("text", message.get("bytes"))
            for message in self.sent
            if message["type"] != "websocket.accept"
        ]


class NotedEcho(EchoSession):
    """An echo that notes what it was told."""

    def __init__(self, stage: Stage, transport: Transport, heard_last: asyncio.Event) -> None:
        self.heard: list[Frame] = []
        self.closed_with: list[int] = []
        self._heard_last = heard_last
        super().__init__(stage.node, stage.node.connect(principal(), JSON, transport))

    @override
    def received(self, frame: Frame) -> None:
        super().received(frame)
        self.heard.append(frame)
        if frame == "last":
            self._heard_last.set()

    @override
    def closed(self, code: int) -> None:
        self.closed_with.append(code)
        super().closed(code)


class Served:
    """A session that is being driven."""

    def __init__(
        self, server: Server, opened: Callable[[NotedEcho], None], kind: type[NotedEcho]
    ) -> None:
        self.server = server
        self._kind = kind
        self._opened = opened
        self._heard_last = asyncio.Event()

    def open_session(self, _codec: Codec, transport: Transport) -> NotedEcho:
        """Open the session, as a route does."""
        self.transport = transport
        self.session = self._kind(Stage(), transport, self._heard_last)
        self._opened(self.session)
        return self.session

    async def until_heard(self) -> None:
        """Wait until the session has received the frame `last`."""
        await asyncio.wait_for(self._heard_last.wait(), WAIT_SECONDS)

    async def until_over(self) -> None:
        """Wait until the driver has returned."""
        await asyncio.wait_for(self.driving, WAIT_SECONDS)

    async def drive(self) -> None:
        """Accept the socket and serve it."""
        stacks = {f"fastapi_{name}_astack": AsyncExitStack() for name in ("inner", "function")}
        scope = {"type": "websocket", "subprotocols": [], **stacks}
        websocket = WebSocket(scope, self.server.receive, self.server.send)
        self.driving = asyncio.create_task(drive(websocket, self.open_session))


@contextlib.asynccontextmanager
async def served(
    *says: Frame,
    server: Server | None = None,
    opened: Callable[[NotedEcho], None] | None = None,
    kind: type[NotedEcho] = NotedEcho,
) -> AsyncIterator[Served]:
    """Serve a socket whose peer has said this already, and let nothing outlive it."""
    socket = Served(server or Server(), opened or (lambda _: None), kind)
    socket.server.says(*says)
    await socket.drive()
    try:
        yield socket
    finally:
        socket.driving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await socket.driving
