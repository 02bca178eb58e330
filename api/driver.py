"""Runs a session over ASGI `receive` and `send`: any server, two tasks a socket."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect
from typing_extensions import override

from api.channels.outbox import Transport
from api.channels.session import Session
from api.messages import Frame
from api.wire import choose_codec
from api.wire.base import Codec

CLOSE_SECONDS: Final = 10.0  # for the frames that wait, the close frame and the peer's answer


async def _release_dependencies(websocket: WebSocket) -> None:
    """Close what the route's `yield` dependencies hold, now that they have decided.

    FastAPI keeps them open until the route returns, so an open socket would pin a database
    session each. The stacks are FastAPI's own names; closing them early leaves it nothing to do.
    """
    for name in ("fastapi_function_astack", "fastapi_inner_astack"):
        stack: AsyncExitStack = websocket.scope[name]
        await stack.aclose()


async def drive(websocket: WebSocket, open_session: Callable[[Codec, Transport], Session]) -> None:
    """Accept a socket whose dependencies have decided, and serve it until it is gone."""
    codec, subprotocol = choose_codec(websocket.scope["subprotocols"])
    await _release_dependencies(websocket)  # first: if it fails, the client is refused
    await websocket.accept(subprotocol)
    await _Driver(websocket).run(partial(open_session, codec))


class _Driver(Transport):
    """An accepted ASGI WebSocket as a session's transport.

    ASGI's `send` waits for a slow peer and the core never does; so a task of its own sends one
    frame at a time and then asks the session for the next.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._receive = websocket.receive
        self._send = websocket.send
        self._next: Frame | None = None
        self._close: Message | None = None
        self._sending = False
        self._cut_short = False
        self._woken = asyncio.Event()
        self._deadline = asyncio.timeout(None)
        self._writer: asyncio.Task[None] | None = None

    async def run(self, open_session: Callable[[Transport], Session]) -> None:
        """Serve until the socket is gone; whatever `send` failed of is raised here."""
        code = 1006
        # A peer that neither reads nor answers the close: returning makes the server end it.
        with contextlib.suppress(TimeoutError):
            async with self._deadline:
                session = open_session(self)
                self._writer = writer = asyncio.create_task(self._write(session))
                writer.add_done_callback(self._stop_at_failure)
                try:
                    session.opened()
                    code = await self._read(session)
                finally:
                    session.closed(code)
                    self._cut_short = False
                    writer.cancel()
                    await asyncio.wait([writer])

        if not writer.cancelled():
            writer.result()

    def _stop_at_failure(self, writer: asyncio.Task[None]) -> None:
        """Read no more from a socket that cannot be written to."""
        if not writer.cancelled() and writer.exception() is not None:
            self._end_within(0.0)

    def _end_within(self, seconds: float) -> None:
        """Give the socket so long to end; a deadline only ever comes nearer."""
        when = asyncio.get_running_loop().time() + seconds
        set_for = self._deadline.when()
        # One that has fired can no longer be moved: asyncio raises.
        if not self._deadline.expired() and (set_for is None or when < set_for):
            self._deadline.reschedule(when)

    @override
    def write(self, frame: Frame) -> bool:
        self._next = frame
        self._woken.set()
        return False

    @override
    def close(self, code: int, reason: str, *, flush: bool) -> None:
        self._close = {"type": "websocket.close", "code": code, "reason": reason}
        self._end_within(CLOSE_SECONDS)
        self._woken.set()
        if not flush and self._sending and self._writer is not None:
            self._cut_short = True  # it may wait for ever for a peer that does not read
            self._writer.cancel()

    async def _read(self, session: Session) -> int:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or 1005)
            text = message.get("text")
            session.received(text if text is not None else message["bytes"])
            # A server may have many messages at hand: let the writers go between two of them,
            # or a burst would fill the outboxes of peers that read well.
            await asyncio.sleep(0)

    async def _write(self, session: Session) -> None:
        with contextlib.suppress(WebSocketDisconnect):  # the peer is gone; `receive` tells as well
            try:
                await self._write_frames(session)
            except asyncio.CancelledError:
                if not self._cut_short:
                    raise
            if self._close is not None:
                await self._send(self._close)

    async def _write_frames(self, session: Session) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._next is not None:
                frame, self._next = self._next, None
                self._sending = True
                await self._send(_message(frame))
                self._sending = False
                session.writable()
            if self._close is not None:
                return


def _message(frame: Frame) -> Message:
    if isinstance(frame, str):
        return {"type": "websocket.send", "text": frame}
    return {"type": "websocket.send", "bytes": frame}
