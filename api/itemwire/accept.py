"""Gives a host's own WebSocket handlers what every socket of Itemwire has.

    async with live.accept(websocket, user) as socket:
        async for data in socket.iter_json(): ...

The connection is counted, listed and limited like those on channels. It ends with a reason when the
caller's login or the node does, wherever the handler is at that moment.
"""

import contextlib
from collections.abc import AsyncGenerator

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Message
from starlette.websockets import WebSocket
from typing_extensions import override

from itemwire.assembly import ASSEMBLY, Assembly
from itemwire.authorization.host_credentials import presents_only_its_own
from itemwire.authorization.host_users import admit
from itemwire.channels.connection import LEAVING, Connection
from itemwire.channels.delivery.outbox import Framing, Transport
from itemwire.channels.limits.connections import ConnectionSlot
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.node import Node
from itemwire.close_reasons import DRAINING, MESSAGE_TOO_BIG, RATE_LIMITED
from itemwire.counters import known_reason
from itemwire.middleware.admission import SLOT, claim_slot
from itemwire.responses.rejections import reason_of, reason_of_close
from itemwire.transports.asgi import FRAME_BY_FRAME, Frames
from itemwire.wire import PLAIN
from itemwire_auth.addresses import client_host
from itemwire_auth.closing import Close
from itemwire_auth.errors import AuthError, MissingCredential, OriginDenied
from itemwire_auth.handled_socket import HandledSocket, accept_socket
from itemwire_auth.principal import Principal
from itemwire_auth.refusals import delayed_refusal
from itemwire_auth.releasing import release
from itemwire_auth.state import AUTH, auth_of


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
            # Or a browser would show no reason.
            await accept_socket(websocket, (subprotocol, PLAIN.subprotocol))
        raise WebSocketException(row.code, row.reason) from error
    try:
        await release(websocket)  # of what its dependencies hold
        await accept_socket(websocket, (subprotocol, PLAIN.subprotocol))
        assembly.counters.handshakes.accepted += 1
        handled = NodeSocket(assembly.node, websocket, principal)
        assembly.streams.add(handled.stop)
        try:
            async with handled.running() as socket:
                yield socket
        finally:
            assembly.streams.discard(handled.stop)
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


class NodeSocket(HandledSocket, Transport):
    """A socket that a host's handler reads and writes, and that is a connection of its node."""

    framing: Framing = FRAME_BY_FRAME

    def __init__(self, node: Node, websocket: WebSocket, principal: Principal) -> None:
        super().__init__(websocket)
        self._node = node
        self._connection: Connection = node.connect(principal, PLAIN, self)
        registry = node.overview.registry
        if registry.keeps_addresses:
            registry.note_address(self._connection, client_host(websocket.scope))

    @property
    @override
    def is_open(self) -> bool:
        return self._connection.is_open

    @override
    def end(self, close: Close) -> None:
        self._connection.end(reason_of_close(close.code, close.reason))

    def stop(self) -> None:
        """End it because its server stops, which closes it and does not tell its handler.

        A node that drains ends it when its turn comes.
        """
        if self.is_open and not self._node.is_draining:
            self._connection.end(DRAINING)

    @override
    def left(self, code: int = 1006) -> None:
        self._connection.lost(code)

    @override
    def takes(self, message: Message) -> bool:
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
