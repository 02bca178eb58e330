"""One run of the ASGI application for one socket, from the handshake until it returns."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol

from uvicorn.protocols.utils import ClientDisconnected

from itemwire.fastpath.extension import Receiver, Socket
from itemwire.fastpath.handshake import Header
from itemwire.fastpath.shared_state import ASGIApp
from itemwire.messages import Frame

Message = dict[str, Any]

logger = logging.getLogger("uvicorn.error")

AFTER_ACCEPT: Final = frozenset({"websocket.send", "websocket.close"})
MIN_STATUS: Final = 100
MAX_STATUS: Final = 599


class ExchangeSocket(Socket, Protocol):
    """What the exchange needs of its socket, beyond the ASGI extension."""

    __slots__ = ()

    def accept(self, headers: list[Header], subprotocol: str | None) -> None:
        """Accept the handshake."""
        ...

    def deny(self, status: int, headers: list[Header], body: bytes) -> None:
        """Refuse the handshake with an HTTP response."""
        ...

    def resume_reading(self) -> None:
        """Read again: the application has received everything so far."""
        ...

    def attach_receiver(self, receiver: Receiver) -> None:
        """Make a receiver the owner of the socket."""
        ...

    def refuse(self, code: int, reason: str) -> None:
        """Close a socket that was never used; its peer has less time to answer."""
        ...

    def application_returned(self) -> None:
        """Close, unless the socket was detached: the application has returned."""
        ...


class ASGIExchange:
    """The application's `receive` and `send`, and the state they have led to."""

    def __init__(self, socket: ExchangeSocket) -> None:
        self._socket = socket
        # An asyncio.Queue would take 2 µs, and most sockets are detached before anything waits.
        self._unread: deque[Message] = deque(({"type": "websocket.connect"},))
        self._arrival: asyncio.Event | None = None  # while `receive` waits
        self._may_write: asyncio.Event | None = None
        self._denial: tuple[int, list[Header]] | None = None
        self._body = b""
        self._is_answered = False
        self._is_closed = False  # the application closed or denied it
        self._is_gone = False  # nothing can be sent any more
        self._is_detached = False
        self._has_sent = False  # anything but the handshake's answer

    async def run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        """Run the application; an exception it raises is logged and ends the socket."""
        try:
            result = await app(scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:
            logger.exception("Exception in ASGI application\n")
        else:
            if not self._is_answered and not self._is_gone:
                logger.error("ASGI callable returned without completing handshake.")
            elif result is not None:
                logger.error("ASGI callable should return None, but returned '%s'.", result)
        if not self._is_answered:
            self._deny(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"Internal Server Error")
        self._socket.application_returned()

    @property
    def has_unread(self) -> bool:
        """Return whether the application has yet to receive something."""
        return bool(self._unread)

    def deliver(self, frame: Frame) -> None:
        """Queue a message for the application."""
        kind = "text" if isinstance(frame, str) else "bytes"
        self._put({"type": "websocket.receive", kind: frame})

    def disconnect(self, code: int, reason: str | None = None) -> None:
        """Queue `websocket.disconnect`: the socket is gone, or soon will be."""
        said = {} if reason is None else {"reason": reason}
        self._put({"type": "websocket.disconnect", "code": code, **said})

    def _put(self, message: Message) -> None:
        self._unread.append(message)
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    def pause(self) -> None:
        """Make `send` wait: the transport's write buffer is full."""
        self._may_write = asyncio.Event()

    def resume(self) -> None:
        """Wake a waiting `send`; it then writes, or finds that the socket is gone."""
        if self._may_write is not None:
            self._may_write.set()
            self._may_write = None

    def mark_gone(self) -> None:
        """Make `send` raise from now on, because nothing can be sent any more."""
        self._is_gone = True
        self.resume()

    def detach(self, open_receiver: Callable[[Socket], Receiver]) -> None:
        """Hand the socket to a receiver: unread messages first, then everything that comes.

        Raises `RuntimeError` unless the socket is open and was not detached before.
        """
        if not self._is_answered or self._denial or self._is_closed or self._is_detached:
            raise RuntimeError("Only an open socket can be detached, and only once.")
        receiver = open_receiver(self._socket)
        try:
            receiver.opened()
        except BaseException:
            receiver.closed(1006)
            raise
        self._is_detached = True
        while self.has_unread:
            message = self._unread.popleft()
            if message["type"] == "websocket.disconnect":
                receiver.closed(message["code"])
                return
            receiver.received(message["text"] if "text" in message else message["bytes"])
        self._socket.attach_receiver(receiver)

    async def receive(self) -> Message:
        """Return the next message for the application."""
        while not self._unread:
            if self._arrival is None:
                self._arrival = asyncio.Event()
            await self._arrival.wait()
        message = self._unread.popleft()
        if not self.has_unread:
            self._socket.resume_reading()
        return message

    async def send(self, message: Message) -> None:
        """Carry out one ASGI message of the application; waits while the peer does not read."""
        waited = False
        while self._may_write is not None and message["type"] != "websocket.close":
            waited = True
            await self._may_write.wait()
        if self._is_gone or (waited and self._is_closed):
            raise ClientDisconnected
        kind = message["type"]
        if self._denial is not None and not self._is_closed:
            self._continue_denial(message)
        elif not self._is_answered:
            self._answer(message)
        elif self._is_closed or self._is_detached or kind not in AFTER_ACCEPT:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' at this point.")
        elif kind == "websocket.send":
            data = message.get("bytes")
            frame = data if data is not None else message.get("text")
            if frame is not None:
                self._has_sent = True
                self._socket.write(self._socket.framing.render(frame))
        else:
            self._close(message.get("code", 1000), message.get("reason") or "")

    def _close(self, code: int, reason: str) -> None:
        self._is_closed = True
        self.disconnect(code, reason)
        if self._has_sent:
            self._socket.close(code, reason)
        else:  # accepted only so that a browser can read why it is refused
            self._socket.refuse(code, reason)
        self.resume()

    def _answer(self, message: Message) -> None:
        """Carry out the application's answer to the handshake: accept, close, or deny."""
        kind = message["type"]
        if kind == "websocket.accept":
            self._is_answered = True
            self._socket.accept(list(message.get("headers", ())), message.get("subprotocol"))
        elif kind == "websocket.close":
            self.disconnect(1006)
            self._deny(HTTPStatus.FORBIDDEN, [], b"")
        elif kind == "websocket.http.response.start":
            if not MIN_STATUS <= message["status"] <= MAX_STATUS:
                raise RuntimeError(f"Invalid HTTP status code '{message['status']}' in response.")
            self._denial = (message["status"], list(message.get("headers", ())))
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or "
                f"'websocket.http.response.start' but got '{kind}'."
            )

    def _continue_denial(self, message: Message) -> None:
        """Collect the body of a denial, which is sent in one piece with its length."""
        if message["type"] != "websocket.http.response.body" or self._denial is None:
            raise RuntimeError(
                f"Expected ASGI message 'websocket.http.response.body' but got '{message['type']}'."
            )
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            self.disconnect(1006)
            self._deny(*self._denial, self._body)

    def _deny(self, status: int, headers: list[Header], body: bytes) -> None:
        self._is_answered = self._is_closed = True
        self._socket.deny(status, headers, body)
