"""Serves an accepted socket: detached where the server can do that, else over ASGI."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import ClassVar, Final

from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from typing_extensions import override

from itemwire.authorization.deadline import end_deadline
from itemwire.channels.delivery.outbox import Framing, Transport
from itemwire.channels.sessions.session import Session
from itemwire.fastpath.extension import EXTENSION
from itemwire.messages import Frame, frame_size
from itemwire.middleware.admission import hand_over_slot
from itemwire.wire import choose_codec
from itemwire.wire.base import Codec
from itemwire_auth.addresses import client_host
from itemwire_auth.audit import client_label, quoted
from itemwire_auth.releasing import release

logger = logging.getLogger("itemwire.channels")

CLOSE_SECONDS: Final = 10.0  # for the frames in the queue, the close frame and the peer's answer
HIGH_WATER: Final = 64 * 1024  # bytes in the queue at which the session is paused: as in asyncio
MAX_QUEUED: Final = 256  # chunks: the memory that small ones take does not show in their bytes


ChooseCodec = Callable[[Sequence[str]], tuple[Codec, str | None]]


async def serve_socket(
    websocket: WebSocket,
    open_session: Callable[[Codec, Transport], Session],
    choose: ChooseCodec = choose_codec,
) -> None:
    """Accept a socket whose dependencies have decided, and see that it is served.

    A server with the extension takes the socket over, and this returns at once. On any other
    server it is served here, over `receive` and `send`, until it is gone.
    """
    end_deadline(websocket)
    codec, subprotocol = choose(websocket.scope["subprotocols"])
    await release(websocket)  # before it is accepted: if this fails, the client is refused
    await websocket.accept(subprotocol)

    def open_with_slot(transport: Transport) -> Session:
        session = open_session(codec, transport)
        hand_over_slot(websocket, session)
        log_connected(websocket, session)
        return session

    extension = websocket.scope.get("extensions", {}).get(EXTENSION)
    if extension is not None:
        extension["detach"](open_with_slot)
    else:
        await AsgiTransport(websocket.receive, websocket.send).run(open_with_slot)


def log_connected(connection: HTTPConnection, session: Session) -> None:
    """Log the line that ties a connection's id to its handshake: the subject and the address.

    Note the address for operators, too.
    """
    registry = session.node.overview.registry
    if registry.keeps_addresses:
        registry.note_address(session.connection, client_host(connection.scope))
    if not logger.isEnabledFor(logging.INFO):
        return  # quoting costs more than all the rest of a log line
    logger.info(
        "connected connection=%s subject=%s client=%s",
        session.connection.id,
        quoted(session.connection.principal.subject),
        client_label(connection.scope),
    )


class Frames:
    """Frames that are sent one by one; `len` is the sum of their bytes."""

    __slots__ = ("_size", "frames")

    def __init__(self, frames: Iterable[Frame], size: int) -> None:
        self.frames = tuple(frames)
        self._size = size

    def __len__(self) -> int:
        return self._size


class FrameByFrame(Framing):
    """Framing of ASGI's `send`, which takes each frame as a message of its own."""

    @override
    def render(self, frame: Frame) -> Frames:
        return Frames((frame,), frame_size(frame))

    @override
    def join(self, chunks: Sequence[Frames]) -> Frames:
        if len(chunks) == 1:
            return chunks[0]
        frames = chain.from_iterable(chunk.frames for chunk in chunks)
        return Frames(frames, sum(map(len, chunks)))


FRAME_BY_FRAME: Final = FrameByFrame()


class AsgiTransport(Transport):
    """An accepted ASGI WebSocket as a session's transport.

    ASGI's `send` waits for a slow peer, and the core never waits. So the core puts chunks into a
    queue, and a task, the writer, sends their frames one after the other.

    It ends in one of four ways:

    - The peer leaves: `receive` says so, and the writer is cancelled.
    - The session closes: the writer sends what is queued and returns, which ends the reading; then
      the close frame is sent. All of that has `CLOSE_SECONDS`.
    - The session discards what is queued and closes, as for a slow consumer: a writer that is in
      the middle of a `send` is cancelled, or it might wait for ever for a peer that does not read.
    - `send` fails: the deadline is set to now, which ends the reading.
    """

    framing: Framing = FRAME_BY_FRAME
    gone: ClassVar[type[Exception]] = WebSocketDisconnect
    """What `send` raises once the peer is gone; `receive` reports that as well."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._session: Session | None = None
        self._queue: deque[Frames] = deque()
        self._unsent = 0
        self._is_paused = False
        self._close: Message | None = None
        self._is_sending = False
        self._is_cut_short = False  # the chunk that is being sent was discarded
        self._woken = asyncio.Event()
        self._deadline = asyncio.timeout(None)  # for the end of everything
        self._listening = asyncio.timeout(None)  # for the end of reading alone
        self._writer: asyncio.Task[None] | None = None

    async def run(self, open_session: Callable[[Transport], Session]) -> None:
        """Serve until the socket is gone; raise what `send` raised, unless the peer was gone."""
        code = 1006
        writer: asyncio.Task[None] | None = None
        # A peer may neither read nor answer the close; then returning makes the server end it.
        with contextlib.suppress(TimeoutError):
            async with self._deadline:
                self._session = session = open_session(self)
                self._writer = writer = asyncio.create_task(self._write())
                writer.add_done_callback(self._stop_at_failure)
                try:
                    session.opened()
                    code = await self._converse(session, writer)
                finally:
                    session.closed(code)
                    self._is_cut_short = False  # from here on a cancelled writer is no failure
                    writer.cancel()
                    await asyncio.wait([writer])
                    self._session = self._writer = None  # each holds this transport: a cycle

        if writer is not None and not writer.cancelled():
            writer.result()

    def _stop_at_failure(self, writer: asyncio.Task[None]) -> None:
        """Read no more from a socket that cannot be written to."""
        if not writer.cancelled() and writer.exception() is not None:
            self._end_within(0.0)

    def _end_within(self, seconds: float) -> None:
        """Set the deadline, or bring it nearer; it is never put off."""
        when = asyncio.get_running_loop().time() + seconds
        set_for = self._deadline.when()
        # One that has fired can no longer be moved: asyncio raises.
        if not self._deadline.expired() and (set_for is None or when < set_for):
            self._deadline.reschedule(when)

    @override
    def write(self, chunk: Frames) -> None:
        self._queue.append(chunk)
        self._unsent += len(chunk)
        self._woken.set()
        if not self._is_paused and (self._unsent > HIGH_WATER or len(self._queue) > MAX_QUEUED):
            self._is_paused = True
            if self._session is not None:
                self._session.paused()

    @override
    def unsent(self) -> int:
        return self._unsent

    @override
    def discard(self) -> None:
        self._queue.clear()
        self._unsent = 0
        self._is_cut_short = self._is_sending

    @override
    def close(self, code: int, reason: str) -> None:
        self._close = self._end_message(code, reason)
        self._end_within(CLOSE_SECONDS)
        self._woken.set()
        if self._is_cut_short and self._writer is not None:
            self._writer.cancel()

    async def _converse(self, session: Session, writer: asyncio.Task[None]) -> int:
        """Read until the peer leaves, or until the session has closed; return the close code."""
        with contextlib.suppress(TimeoutError):
            async with self._listening:
                return await self._read(session)
        await asyncio.wait([writer])
        close = self._close or {}
        with contextlib.suppress(self.gone):
            await self._finish(close)
        return int(close.get("code", 1000))

    async def _finish(self, message: Message) -> None:
        """Send the last message."""
        await self._send(message)

    async def _read(self, session: Session) -> int:
        """Pass on what the peer sends; return the code it leaves with."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or 1005)
            text = message.get("text")
            session.received(text if text is not None else message["bytes"])
            # A server may have many messages at hand. The writers get a turn between two of them,
            # or a burst would fill the outboxes of peers that do read.
            await asyncio.sleep(0)

    async def _write(self) -> None:
        with contextlib.suppress(self.gone):
            try:
                await self._write_frames()
            except asyncio.CancelledError:
                if not self._is_cut_short:
                    raise
            # The reading ends first: Granian holds a close back while a `receive` is pending.
            self._listening.reschedule(asyncio.get_running_loop().time())

    async def _write_frames(self) -> None:
        """Send what is queued, until the session has closed and the queue is empty."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._queue:
                chunk = self._queue.popleft()
                self._is_sending = True
                for frame in chunk.frames:
                    await self._send(self._frame_message(frame))
                self._is_sending = False
                self._sent(len(chunk))
            if self._close is not None:
                return

    def _sent(self, size: int) -> None:
        self._unsent -= size
        if self._is_paused and not self._queue:
            self._is_paused = False
            if self._session is not None:
                self._session.writable()

    def _frame_message(self, frame: Frame) -> Message:
        """Make the ASGI message that sends a frame."""
        if isinstance(frame, str):
            return {"type": "websocket.send", "text": frame}
        return {"type": "websocket.send", "bytes": frame}

    def _end_message(self, code: int, reason: str) -> Message:
        """Make the ASGI message that closes the socket."""
        return {"type": "websocket.close", "code": code, "reason": reason}
