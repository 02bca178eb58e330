"""Gives a host's own WebSocket handlers what every socket of Itemwire has.

    async with live.accept(websocket, user) as socket:
        async for data in socket.iter_json(): ...

The connection is counted, listed and limited like those on channels. It ends with a reason when the
caller's login or the node does, wherever the handler is at that moment.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from typing_extensions import override

from itemwire.assembly import ASSEMBLY, Assembly
from itemwire.authorization.host_credentials import presents_only_its_own
from itemwire.authorization.host_users import admit
from itemwire.authorization.solving import release
from itemwire.channels.connection import LEAVING, Connection
from itemwire.channels.delivery.outbox import Framing, Transport
from itemwire.channels.limits.connections import ConnectionSlot
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.node import Node
from itemwire.close_reasons import (
    DRAINING,
    INTERNAL,
    MESSAGE_TOO_BIG,
    PAYLOAD_INVALID,
    RATE_LIMITED,
    CloseReason,
)
from itemwire.counters import known_reason
from itemwire.middleware.admission import SLOT, claim_slot
from itemwire.responses.rejections import reason_of
from itemwire.transports.asgi import FRAME_BY_FRAME, Frames
from itemwire.wire import PLAIN
from itemwire_auth.addresses import client_host
from itemwire_auth.errors import AuthError, MissingCredential, OriginDenied
from itemwire_auth.principal import Principal
from itemwire_auth.refusals import delayed_refusal
from itemwire_auth.state import AUTH, auth_of

LEAVE_SECONDS: Final = 5.0  # in which a handler leaves its block once its socket has ended


@contextlib.asynccontextmanager
async def accepted(
    assembly: Assembly, auth: object, websocket: WebSocket, user: object, subprotocol: str | None
) -> AsyncGenerator[WebSocket]:
    """Accept a socket of a host's handler for a user, and end it when its login or node does.

    Raises WebSocketException, for the host's own handler of that, if the user may not connect.
    """
    # The host's scope stays as it is.
    asked = HTTPConnection({**websocket.scope, AUTH: auth, ASSEMBLY: assembly})
    try:
        slot, principal = await _admit(assembly, asked, user)
    except (HTTPException, WebSocketException) as error:
        row = reason_of(error)
        assembly.counters.handshakes.refused[known_reason(row.reason)] += 1
        if assembly.settings.refusal == "close":
            await _accept(websocket, subprotocol)  # or a browser would show no reason
        raise WebSocketException(row.code, row.reason) from error
    try:
        await release(websocket)  # of what its dependencies hold
        await _accept(websocket, subprotocol)
        assembly.counters.handshakes.accepted += 1
        handled = HandledSocket(assembly.node, websocket, principal)
        async with handled.running() as socket:
            yield socket
    finally:
        slot.release()


async def _admit(
    assembly: Assembly, asked: HTTPConnection, user: object
) -> tuple[ConnectionSlot, Principal]:
    """Return a slot and the caller, or raise what tells the client why not."""
    if assembly.node.is_draining:
        raise WebSocketException(DRAINING.code, DRAINING.reason)
    slot = assembly.slots.acquire(client_host(asked.scope))
    if not isinstance(slot, ConnectionSlot):
        raise WebSocketException(slot.code, slot.reason)
    try:
        asked.scope[SLOT] = slot
        principal = _identify(asked, user)
        claim_slot(asked, principal)
    except AuthError as error:
        slot.release()
        raise await delayed_refusal(asked, error) from error
    except BaseException:
        slot.release()
        raise
    return slot, principal


def _identify(asked: HTTPConnection, user: object) -> Principal:
    authenticator = auth_of(asked).authenticator
    authenticator.check_throttle(asked)
    # The handler's dependencies have seen all of the request: what they went by is unknown here.
    if not (authenticator.believes_browser(asked) or presents_only_its_own(asked)):
        raise OriginDenied("the browser of a foreign page may have added who calls")
    if user is None:
        raise MissingCredential("the application names no user")
    return admit(asked, user)


async def _accept(websocket: WebSocket, subprotocol: str | None) -> None:
    """Accept a socket that its handler has not accepted yet."""
    if websocket.application_state is not WebSocketState.CONNECTING:
        return
    offered = websocket.scope.get("subprotocols", ())
    answers = (one for one in (subprotocol, PLAIN.subprotocol) if one in offered)
    await websocket.accept(next(answers, None))


class OwnSocket(WebSocket):
    """Starlette's WebSocket; what is not the text or JSON that is awaited ends the connection."""

    def __init__(self, handled: "HandledSocket", websocket: WebSocket) -> None:
        super().__init__(websocket.scope, receive=handled.receive, send=handled.send)
        self.client_state = self.application_state = WebSocketState.CONNECTED
        self._handled = handled

    @override
    async def receive_json(self, mode: str = "text") -> Any:
        try:
            return await super().receive_json(mode)
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError):
            raise self._handled.fail(PAYLOAD_INVALID) from None

    @override
    async def receive_text(self) -> str:
        try:
            return await super().receive_text()
        except KeyError:
            raise self._handled.fail(PAYLOAD_INVALID) from None

    @override
    async def receive_bytes(self) -> bytes:
        try:
            return await super().receive_bytes()
        except KeyError:
            raise self._handled.fail(PAYLOAD_INVALID) from None


@dataclass(frozen=True, slots=True)
class Close:
    """The close that the client is told."""

    code: int
    reason: str


class HandledSocket(Transport):
    """An accepted socket that a host's handler reads and writes, and that its node may end.

    It ends in one of three ways:

    - The client leaves: `receive` says so to the handler.
    - The node, or a fault of the client, ends the connection: the close is sent at once, `receive`
      tells the handler of a disconnect, and `send` fails. A handler that awaits something else is
      cancelled after `LEAVE_SECONDS`; the block ends then, and the handler goes on behind it.
    - The handler leaves the block: the socket is closed with 1000, unless the handler has done so.
    """

    framing: Framing = FRAME_BY_FRAME

    def __init__(self, node: Node, websocket: WebSocket, principal: Principal) -> None:
        self._node = node
        self._websocket = websocket
        self._staying: asyncio.Timeout | None = None  # while the handler is in its block
        self._reading: asyncio.Timeout | None = None  # while it waits for its client
        self._close: Close | None = None
        self._closing: asyncio.Task[None] | None = None
        self._connection: Connection = node.connect(principal, PLAIN, self)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[WebSocket]:
        """Give the socket to its handler, and see that it is closed in the end."""
        staying = asyncio.timeout(None)
        try:
            async with staying:
                self._staying = staying
                try:
                    yield OwnSocket(self, self._websocket)
                finally:
                    self._staying = None
        except WebSocketDisconnect:
            # Its client or its node has ended it, which is no fault; but this may be about another
            # client's socket, to which the handler has sent something.
            if self._connection.is_open:
                self._connection.end(INTERNAL)
                raise
        except (HTTPException, WebSocketException) as error:
            self._connection.end(reason_of(error))
        except Exception:
            if not staying.expired():
                self._connection.end(INTERNAL)
                raise
        finally:
            await self._leave()

    def fail(self, reason: CloseReason) -> WebSocketDisconnect:
        """End the connection, and return what its handler is to be told."""
        self._connection.end(reason)
        return WebSocketDisconnect(reason.code, reason.reason)

    async def receive(self) -> Message:
        """Return the client's next message, or that it, or the node, has ended the connection."""
        while self._close is None:
            message = await self._read()
            if message is not None and message["type"] == "websocket.disconnect":
                self._connection.lost(int(message.get("code") or 1005))
                return message
            if message is not None and self._takes(message):
                return message
        return {"type": "websocket.disconnect", "code": self._close.code}

    async def send(self, message: Message) -> None:
        """Send what the handler sends; OSError, as from a server, once the socket has ended."""
        if self._close is not None:
            raise OSError("the connection has ended")
        if message["type"] == "websocket.close":
            self._close = Close(message.get("code", 1000), message.get("reason") or "")
        try:
            await self._websocket.send(message)
        except WebSocketDisconnect:
            self._connection.lost()
            raise

    async def _read(self) -> Message | None:
        """Return the next message; None once the connection has ended here."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as reading:
                self._reading = reading
                try:
                    return await self._websocket.receive()
                finally:
                    self._reading = None
        return None

    def _takes(self, message: Message) -> bool:
        """Return whether the handler may be given a message; past a limit it ends the connection.

        What comes from a client that is about to be disconnected is dropped.
        """
        if self._connection.phase >= LEAVING:
            return False
        size = len(message.get("bytes") or (message.get("text") or "").encode())
        rates = self._node.rates
        if size > self._node.limits.max_message_bytes:
            self._connection.end(MESSAGE_TOO_BIG)
        elif rates is not None and rates.spend(self._connection, RequestKind.PUBLISH, size):
            self._connection.end(RATE_LIMITED)
        else:
            return True
        return False

    @override
    def write(self, chunk: Frames) -> None:
        """Send nothing: on this socket only its handler speaks."""

    @override
    def unsent(self) -> int:
        return 0

    @override
    def discard(self) -> None:
        """Hold nothing back: each message was handed to the server when it was sent."""

    @override
    def close(self, code: int, reason: str) -> None:
        if self._close is not None:
            return
        self._close = Close(code, reason)
        now = asyncio.get_running_loop().time()
        # The reading ends first: Granian holds a close back while a `receive` is pending.
        if self._reading is not None:
            self._reading.reschedule(now)
        if self._staying is not None:
            self._staying.reschedule(now + LEAVE_SECONDS)
        self._closing = asyncio.create_task(self._tell(self._close))

    async def _tell(self, close: Close) -> None:
        # A client that does not read, or is gone, learns nothing: leaving makes the server end it.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._websocket.close(close.code, close.reason)
                # The client's answer may stand behind what it sent before, which nobody reads.
                while (await self._websocket.receive())["type"] != "websocket.disconnect":
                    pass

    async def _leave(self) -> None:
        """Close the socket if the handler has not, and wait until that is done."""
        if self._close is None and self._connection.is_open:
            self.close(1000, "")
        self._connection.lost(1000 if self._close is None else self._close.code)
        if self._closing is not None:
            await asyncio.wait([self._closing])
