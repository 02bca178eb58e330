"""uvicorn's HTTP class, strict about requests and bounded in memory and time.

uvicorn loads it by import string: `--http itemwire.fastpath.http:HttpProtocol`. Each override says
what uvicorn 0.54 does without it.

An open connection always has a timer, or the application at work on a request of it:

    idle timer     from the connection or a response until the first byte of the next request
    head timer     from that byte until the whole head is there
    (application)  from the head until the response is sent; it bounds the reading of a body
"""

import asyncio
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

import httptools
from typing_extensions import override
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from itemwire.fastpath.body_framing import BodyFraming
from itemwire.fastpath.extension import STREAM_EXTENSION
from itemwire.fastpath.handshake import NO_STORE, Request, judge_size
from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.fastpath.surroundings import Ends
from itemwire.fastpath.timeouts import Timeout
from itemwire.fastpath.transport import MortalTransport

# A cookie has none (RFC 6265 section 4.1.1), a quoted one a few. Python before 3.11.10 takes 5 s to
# unquote 60 KiB of them (CVE-2024-7592), which stops every socket.
MAX_COOKIE_BACKSLASHES: Final = 256
LINGER_SECONDS: Final = 1.0

# A whole read of 256 KiB may hold 9,000 pipelined requests, and each takes 3 KB from when it is
# parsed until it is answered. So data is parsed in pieces, and no further than to a request that
# has to wait for its turn.
PIECE_BYTES: Final = 4 * 1024
BARE_HEAD_BYTES: Final = len(b"GET  HTTP/1.1\r\n\r\n")
BARE_HEADER_BYTES: Final = len(b": \r\n")


class _Flow(FlowControl):
    """Reads nothing more while data waits to be parsed, whatever an application asks for."""

    is_held = False

    def hold(self) -> None:
        """Pause reading until `release`."""
        self.is_held = True
        self.pause_reading()

    def release(self) -> None:
        """Read on."""
        self.is_held = False
        self.resume_reading()

    @override
    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class _Timers:
    """The timers of all HTTP connections of one server."""

    def __init__(self, protocol: "HttpProtocol") -> None:
        loop = protocol.loop
        self.heads = Timeout[HttpProtocol](
            loop, protocol.handshake_seconds, HttpProtocol.fail_slow_head
        )
        self.idle = Timeout[HttpProtocol](
            loop, protocol.timeout_keep_alive, HttpProtocol.end_idle_connection
        )


_timers: "WeakKeyDictionary[ServerState, _Timers]" = WeakKeyDictionary()


class HttpProtocol(HttpToolsProtocol):
    """Bounds what one connection may hold, and refuses an ambiguous request.

    uvicorn bounds neither the size nor the number of headers, trailers and pipelined requests, nor
    the time that a connection may stay open between two requests.
    """

    handshake_seconds: ClassVar[float] = 10.0  # for a whole head to come (slowloris)

    url = b""
    flow: _Flow
    data = b""  # that is being parsed
    piece_start = 0  # in `data`
    head_bytes = 0  # received for the head that is being read
    body_bytes = 0  # in the piece that is being parsed
    reading_head = True
    is_handed_over = False  # to a WebSocket class
    refusal: int | None = None  # the status to end the connection with
    refusal_text = ""
    ending: Callable[[], None] | None = None  # asks the answer under way to end

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        timers = _timers.get(self.server_state)
        if timers is None:
            timers = _timers[self.server_state] = _Timers(self)
        self.timers = timers
        self.unparsed = bytearray()  # what came behind requests that are not answered yet
        self.framing = BodyFraming()

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
        """Start the time for the first head."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self.timers.heads.start(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything, so that it is free without a garbage collection.

        The parser holds methods of this object, and so does the cycle of the last request, by its
        scope and its callback: with our thresholds a collection does not come for hours.
        """
        super().connection_lost(exc)
        self.timers.heads.stop(self)
        self.timers.idle.stop(self)
        if self.cycle is not None:
            self.cycle.on_response = _do_nothing
        for cycle, _ in self.pipeline:
            cycle.on_response = _do_nothing
        self.pipeline.clear()
        self.unparsed.clear()
        self.parser = self.cycle = self.scope = None  # type: ignore[assignment]
        self.headers = []
        self.ending = None

    def fail_slow_head(self) -> None:
        """End a connection whose head did not come in time."""
        self.refusal = HTTPStatus.REQUEST_TIMEOUT
        self.send_400_response("The request took too long.")

    def end_idle_connection(self) -> None:
        """End a connection on which no next request has begun in time."""
        self.transport.close()

    @override
    def data_received(self, data: bytes) -> None:
        """Parse what has come, unless requests before it wait for their answers.

        uvicorn parses all there is, and keeps every request until it is answered.
        """
        if self.refusal is not None:
            return
        if self.unparsed:
            self._hold(data)  # a read that was under way when reading was paused
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            if self.pipeline:
                self._hold(data[start:])
                return
            self.data, self.piece_start = data, start
            self._parse_piece(data[start : start + PIECE_BYTES])
            self.data = b""
            if self.refusal is not None or self.is_handed_over:
                return

    def _hold(self, data: bytes) -> None:
        """Keep data until the requests before it are answered: see `on_response_complete`."""
        self.unparsed += data
        self.flow.hold()

    def _parse_piece(self, piece: bytes) -> None:
        self.head_bytes += len(piece)
        self.body_bytes = 0
        super().data_received(piece)
        if self.refusal is not None or self.is_handed_over:
            return
        if self.reading_head:
            self._refuse(self._judge_size(self.head_bytes), "Request head over the limit.")
            return
        self.framing.add(len(piece), self.body_bytes)
        if self.framing.is_excessive:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refuse(status, "Chunk extensions or trailers over the limit.")

    def _refuse(self, status: int | None, reason: str) -> None:
        if status is not None:
            self.refusal = status
            self.logger.warning(reason)
            self.send_400_response(reason)

    def _parse_rest(self) -> None:
        """Go on with what was not parsed, now that the requests before it are answered."""
        if not self.pipeline and not self.transport.is_closing():
            rest = bytes(self.unparsed)
            self.unparsed.clear()
            self._parse(rest)
            if not self.unparsed:
                self.flow.release()

    @override
    def on_message_begin(self) -> None:
        """Start the time for a later head on the same connection, too."""
        super().on_message_begin()
        self.timers.idle.stop(self)
        self.timers.heads.start(self)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        """Drop trailers: uvicorn adds them to the headers that were judged (RFC 9110 6.5.1)."""
        if self.reading_head:
            super().on_header(name, value)
            return
        self.framing.add_trailer()
        if self.framing.is_excessive:
            self.refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise httptools.HttpParserError  # uvicorn then calls send_400_response

    @override
    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        super().on_body(body)

    @override
    def on_response_complete(self) -> None:
        """Answer the next request, or wait for one, or end a connection nobody reads.

        uvicorn starts its timer here and stops it for any byte that comes, a line break or a byte
        of a body that nobody reads among them.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.refusal is not None:
            self.send_400_response(self.refusal_text)
        elif self not in self.timers.heads:  # the next head has not begun
            self.timers.idle.start(self)
        if self.unparsed:
            self.loop.call_soon(self._parse_rest)
        elif not self.pipeline:
            self.flow.resume_reading()

    def on_shutdown(self, end: Callable[[], None] | None) -> None:
        """Note what is to be called when the server stops; None when that is no longer so."""
        self.ending = end

    def abort(self) -> None:
        """Drop the connection, with what was not sent."""
        self.transport.abort()

    @override
    def shutdown(self) -> None:
        """Ask an answer without end to end: uvicorn waits for it, and tells it nothing."""
        super().shutdown()
        if self.ending is not None:
            self.ending()

    @override
    def on_headers_complete(self) -> None:
        """Refuse a bad head before anything acts on it."""
        self.reading_head = False
        self.framing.reset()
        self.timers.heads.stop(self)
        self.refusal = self._judge_head()
        if self.refusal is not None:
            raise httptools.HttpParserError  # uvicorn then calls send_400_response
        if not self.parser.should_upgrade():  # what holds this protocol would outlive it: a cycle
            scope = cast("dict[str, object]", self.scope)
            stream = {"on_shutdown": self.on_shutdown, "abort": self.abort}
            scope["extensions"] = {STREAM_EXTENSION: stream}
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        """Start counting the next head."""
        super().on_message_complete()
        self.reading_head = True
        self.head_bytes = 0

    @override
    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, and what came behind the head: uvicorn drops that."""
        protocol = self.ws_protocol_class
        if protocol is not None and issubclass(protocol, WebSocketProtocol):
            self._hand_over(protocol)
        else:
            super().handle_websocket_upgrade()
        end = cast("httptools.HttpParserUpgrade", sys.exception()).args[0]
        rest = self.data[self.piece_start + end :]
        if rest:
            cast("asyncio.Protocol", self.transport.get_protocol()).data_received(rest)
        self.is_handed_over = True
        self.timers.idle.stop(self)
        del self.parser  # it holds this protocol's methods: a cycle

    def _hand_over(self, protocol: type[WebSocketProtocol]) -> None:
        """Spare our own class the head written anew, and asking the socket for its ends again."""
        self.connections.discard(self)
        socket = protocol(self.config, self.server_state, self.app_state)
        socket.connection_made(self.transport)
        self.transport.set_protocol(socket)
        request = Request(self.parser.get_method(), self.url, self.headers)
        socket.begin(request, Ends(self.server, self.client, self.scheme == "https"))

    @override
    def send_400_response(self, msg: str) -> None:
        """Answer with the status of the refusal, 400 where none was chosen, and end.

        Requests that came before it are answered first. Where it is the body of the current
        request that is refused, and its response has begun, the connection just ends.
        """
        self.refusal = self.refusal or HTTPStatus.BAD_REQUEST
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_answered = cycle is None or cycle.response_complete
        if not is_answered and (self.reading_head or self.pipeline):
            self.refusal_text = msg  # of a later request: `on_response_complete` sends it
            self.flow.hold()
            return
        ending = MortalTransport(self.transport, self.loop, LINGER_SECONDS)
        if cycle is not None and not is_answered:
            cycle.disconnected = True  # the application can send nothing more
            cycle.message_event.set()
            if cycle.response_started:
                ending.close()
                return
        self.transport.write(_render(self.refusal, self.server_state.default_headers, msg))
        ending.linger()

    def _judge_size(self, head_bytes: int) -> int | None:
        return judge_size(head_bytes, len(self.url), len(self.headers or ()))

    def _judge_head(self) -> int | None:
        """Tell the status to refuse a whole head with, if it must be."""
        size, hosts, slashes = BARE_HEAD_BYTES + len(self.url), 0, 0
        for name, value in self.headers:
            size += len(name) + len(value) + BARE_HEADER_BYTES
            if name == b"host":
                hosts += 1
            elif name == b"cookie":
                slashes += value.count(b"\\")
        is_bad = slashes > MAX_COOKIE_BACKSLASHES or not self._is_host_clear(hosts)
        return self._judge_size(size) or (HTTPStatus.BAD_REQUEST if is_bad else None)

    def _is_host_clear(self, hosts: int) -> bool:
        """Refuse two Hosts or none (RFC 9112 section 3.2); RFC 6455 section 4.1 wants HTTP/1.1."""
        if self.parser.get_http_version() == "1.1":
            return hosts == 1
        return hosts <= 1 and not self._should_upgrade()


def _render(status: int, headers: list[tuple[bytes, bytes]], text: str) -> bytes:
    """Render a whole response that ends the connection."""
    lines = [
        *headers,
        (b"connection", b"close"),
        NO_STORE,
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
    ]
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return STATUS_LINE[status] + fields + b"\r\n" + text.encode()


def _do_nothing() -> None:
    """Take notice that a response is complete whose connection is gone."""
