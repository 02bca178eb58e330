"""An accepted socket that a handler reads and writes, and that others may end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

from starlette.exceptions import HTTPException, WebSocketException
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from typing_extensions import override

from itemwire_auth.closing import INTERNAL, PAYLOAD_INVALID, Close, close_of_status, sendable
from itemwire_auth.errors import AuthError, ChannelException

LEAVE_SECONDS: Final = 5.0  # in which a handler leaves its block once its socket has ended


async def accept_socket(websocket: WebSocket, answers: Iterable[str | None]) -> None:
    """Accept a socket that nobody has accepted yet.

    It is told the first of these subprotocols that it offers.
    """
    if websocket.application_state is not WebSocketState.CONNECTING:
        return
    offered = websocket.scope.get("subprotocols", ())
    await websocket.accept(next((one for one in answers if one in offered), None))


def close_of(error: Exception) -> Close | None:
    """Return what a client is told of what a handler has raised; None for a fault of the code."""
    if isinstance(error, HTTPException):
        return close_of_status(error.status_code)
    if isinstance(error, WebSocketException):
        return sendable(error.code, error.reason)
    if isinstance(error, AuthError):
        return Close(error.close_code, error.code)
    return Close(AuthError.close_code, error.code) if isinstance(error, ChannelException) else None


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


class HandledSocket:
    """An accepted socket that a handler reads and writes, and that others may end.

    It ends in one of three ways:

    - The client leaves: `receive` says so to the handler.
    - Somebody calls `end`, or the client breaks a rule: the close is sent at once, `receive` tells
      the handler of a disconnect, and `send` fails. A handler that awaits something else is
      cancelled after `LEAVE_SECONDS`; the block ends then, and the handler goes on behind it.
    - The handler leaves the block: the socket is closed with 1000, unless the handler has done so.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._staying: asyncio.Timeout | None = None  # while the handler is in its block
        self._reading: asyncio.Timeout | None = None  # while it waits for its client
        self._close: Close | None = None
        self._closing: asyncio.Task[None] | None = None
        self._has_left = False

    @property
    def is_open(self) -> bool:
        """Return whether neither side has ended the connection."""
        return self._close is None and not self._has_left

    @property
    def closing(self) -> asyncio.Task[None] | None:
        """Return what tells the client of its end, once it is to be told."""
        return self._closing

    def end(self, close: Close) -> None:
        """End the connection, for this reason."""
        self.close(close.code, close.reason)

    def left(self, _code: int = 1006) -> None:
        """Note that the client is gone."""
        self._has_left = True

    def takes(self, _message: Message) -> bool:
        """Return whether the handler may be given a message."""
        return True

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
            # Its client or its server has ended it, which is no fault; but this may be about
            # another client's socket, to which the handler has sent something.
            if self.is_open:
                self.end(INTERNAL)
                raise
        except Exception as error:
            told = close_of(error)
            if told is None and not staying.expired():
                self.end(INTERNAL)
                raise
            self.end(told or INTERNAL)
        finally:
            await self._leave()

    def fail(self, close: Close) -> WebSocketDisconnect:
        """End the connection, and return what its handler is to be told."""
        self.end(close)
        return WebSocketDisconnect(close.code, close.reason)

    async def receive(self) -> Message:
        """Return the client's next message, or that somebody has ended the connection."""
        while self._close is None:
            message = await self._read()
            if message is not None and message["type"] == "websocket.disconnect":
                self.left(int(message.get("code") or 1005))
                return message
            if message is not None and self.takes(message):
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
            self.left()
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

    def close(self, code: int, reason: str) -> None:
        """Send the close, unless one was sent, and let the handler leave its block."""
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
        if self._close is None and self.is_open:
            self.close(1000, "")
        self.left(1000 if self._close is None else self._close.code)
        if self._closing is not None:
            await asyncio.wait([self._closing])
