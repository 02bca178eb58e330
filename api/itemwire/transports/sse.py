"""A stream of server-sent events as a session's transport, over ASGI's `send`.

FastAPI makes such a stream from a generator. That encodes each event once for every listener,
keeps the route's dependencies open, runs two more tasks, and cannot be ended by the server. So
this is an `EventSourceResponse` with a body of its own: see docs/adr/0016-events-and-http.md.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Final

from fastapi.sse import EventSourceResponse
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from itemwire.channels.delivery.outbox import Framing, Transport
from itemwire.channels.sessions.session import Session
from itemwire.close_reasons import DRAINING
from itemwire.fastpath.extension import STREAM_EXTENSION
from itemwire.messages import Frame, frame_size
from itemwire.transports.asgi import AsgiTransport, Frames
from itemwire.transports.sse_shutdown import OpenStreams
from itemwire.wire.events_codec import Opening, OwnIds

# A comment, which browsers do not show to pages. It is a line of the next event: to some parsers a
# block of nothing else is an empty message.
HEARTBEAT: Final = Frames((b":\n",), 2)

# The last one is for nginx, which would collect events before it passes them on.
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

NO_EXTENSION: Final[Mapping[str, Any]] = {}


class EventFraming(Framing):
    """Framing of a response body: each chunk of it has one or more events."""

    @override
    def render(self, frame: Frame) -> Frames:
        return Frames((frame,), frame_size(frame))

    @override
    def join(self, chunks: Sequence[Frames]) -> Frames:
        if len(chunks) == 1:
            return chunks[0]
        frames = chain.from_iterable(chunk.frames for chunk in chunks)
        return Frames((b"".join(map(_bytes, frames)),), sum(map(len, chunks)))


EVENTS: Final = EventFraming()


class EventTransport(AsgiTransport):
    """Sends the events of one stream, and a heartbeat at intervals in which there was none."""

    framing = EVENTS
    gone: ClassVar[type[Exception]] = OSError

    def __init__(self, receive: Receive, send: Send, heartbeat: float) -> None:
        super().__init__(receive, send)
        self._heartbeat = heartbeat
        self._ids: OwnIds | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_complete = False

    @override
    async def run(self, open_session: Callable[[Transport], Session]) -> None:
        self._beat_later()
        try:
            await super().run(open_session)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    @override
    async def _read(self, session: Session) -> int:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # pieces of the body of a GET, which mean nothing
        self.is_complete = True
        return 1006  # HTTP does not tell a client that left from a connection that broke

    @override
    async def _finish(self, message: Message) -> None:
        await super()._finish(message)
        self.is_complete = True

    def _beat_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._heartbeat, self._beat)

    def _beat(self) -> None:
        if not self.unsent():  # else the client gets something anyway
            self.write(HEARTBEAT)
        self._beat_later()

    @override
    def _frame_message(self, frame: Frame) -> Message:
        body = _bytes(frame)
        if isinstance(frame, Opening):
            self._ids = frame.ids
        elif self._ids is not None:
            body = self._ids.write(body)  # here, so that what waits is still shared
        return {"type": "http.response.body", "body": body, "more_body": True}

    @override
    def _end_message(self, code: int, reason: str) -> Message:
        return {"type": "http.response.body", "body": b"", "more_body": False}


class EventStream(EventSourceResponse):
    """The response that sends a session's events until the session ends or the client leaves."""

    def __init__(
        self, open_session: Callable[[Transport], Session], heartbeat: float, streams: OpenStreams
    ) -> None:
        super().__init__((), headers=HEADERS)
        self._open_session = open_session
        self._heartbeat = heartbeat
        self._streams = streams
        self._end: Callable[[], None] | None = None

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers, then events until the end."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        stream = scope.get("extensions", {}).get(STREAM_EXTENSION, NO_EXTENSION)
        on_shutdown = stream.get("on_shutdown", _ignore)
        transport = EventTransport(receive, send, self._heartbeat)

        def open_session(opened: Transport) -> Session:
            session = self._open_session(opened)
            self._end = partial(session.connection.end, DRAINING)
            self._streams.add(self._end)
            on_shutdown(self._end)
            return session

        try:
            await transport.run(open_session)
        finally:
            if self._end is not None:
                self._streams.discard(self._end)
            on_shutdown(None)
            if not transport.is_complete and "abort" in stream:
                stream["abort"]()  # the client did not read the last bytes in time
                await asyncio.sleep(0)


def head_of_stream() -> EventSourceResponse:
    """Return a response with the headers of a stream and no events, for a HEAD request."""
    return EventSourceResponse((), headers=HEADERS)


def _bytes(frame: Frame) -> bytes:
    return frame.encode() if isinstance(frame, str) else frame


def _ignore(_end: Callable[[], None] | None) -> None:
    """Do nothing: this server does not announce its stop; `OpenStreams` ends the streams."""
