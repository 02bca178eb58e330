"""uvicorn's HTTP class, strict about requests and bounded in memory and time.

uvicorn loads it by import string: `--http itemwire.fastpath.http:HttpProtocol`. The docstring of
each override says what uvicorn lacks.

An open connection always has a timer, or an application that works on a request of it:

    idle timer     from a response until the first byte of the next request
    head timer     from the connection, or that byte, until the whole head is there
    (application)  from the head until the response is sent; it limits the time of reading a body
"""

import asyncio
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

import httptools
from typing_extensions import override
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from itemwire.fastpath.body_framing import BodyFraming
from itemwire.fastpath.bounded_reads import BoundedReads, release
from itemwire.fastpath.connection_limit import STATE_KEY, ConnectionLimit, peer_host
from itemwire.fastpath.declined_upgrade import DeclinedUpgrade, new_parser
from itemwire.fastpath.extension import STREAM_EXTENSION
from itemwire.fastpath.handshake import RequestHead, refusal_of_size
from itemwire.fastpath.head_rules import origin_form, refusal_of_head
from itemwire.fastpath.http_faults import render_fault, status_of_fault
from itemwire.fastpath.http_state import ConnectionTimers, HeldFlow, task_of_request
from itemwire.fastpath.pieces import end_of_piece
from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.fastpath.shared_state import Addressed, SocketAddresses
from itemwire.fastpath.transport import MortalTransport, read_on

LINGER_SECONDS: Final = 1.0

_timers: "WeakKeyDictionary[ServerState, ConnectionTimers[HttpProtocol]]" = WeakKeyDictionary()


class HttpProtocol(HttpToolsProtocol):
    """Limits what one connection may hold, and refuses an ambiguous request.

    uvicorn limits neither the size and number of headers, trailers and pipelined requests, nor the
    time in which a head comes, nor that between two requests.
    """

    handshake_seconds: ClassVar[float] = 10.0  # for a whole head to arrive (slowloris)

    framing: BodyFraming  # of the body that is being read
    parser: httptools.HttpRequestParser  # uvicorn types it as optional: None once it is lost

    url = b""
    declined: DeclinedUpgrade | None = None  # its request is about to be read again
    data = b""  # the chunk that is being parsed
    piece = b""  # the part of it that is being parsed
    piece_start = 0  # where that begins
    unparsed = b""  # a chunk that waits for requests before it to be answered, or for a place
    unparsed_start = 0  # in `unparsed`, of what was not parsed yet
    is_in_line = False  # for a place, to parse `unparsed`
    head_bytes = 0  # received for the head that is being read
    body_bytes = 0  # in the piece that is being parsed
    reading_head = True
    is_counted = is_handed_over = False  # by the limit of connections; to a WebSocket class
    refusal: int | None = None  # the status with which this connection was refused
    refusal_text = ""
    ending: Callable[[], None] | None = None  # asks a response without end to end

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        super().__init__(*args, **kwargs)
        timers = _timers.get(self.server_state)
        if timers is None:
            timers = _timers[self.server_state] = ConnectionTimers(
                self.loop,
                head=(self.handshake_seconds, HttpProtocol.fail_slow_head),
                idle=(self.timeout_keep_alive, HttpProtocol.end_idle_connection),
            )
        self.timers = timers
        self.pacing = timers.pacing
        self.limit: ConnectionLimit | None = self.app_state.get(STATE_KEY)

    # Called by asyncio.

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
        """Admit the connection if there is room, and start the time of its first head."""
        super().connection_made(cast("asyncio.Transport", Addressed(transport)))
        self.transport = transport
        transport.set_protocol(BoundedReads(self))
        self.flow = self.held_flow = HeldFlow(transport)
        refusal = None
        if self.limit is not None:
            refusal = self.limit.admit(len(self.connections), peer_host(transport))
        if refusal is None:
            self.is_counted = self.limit is not None
            self.timers.head.start(self)
        else:
            self.refusal = refusal
            self.send_400_response("Too many connections.")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything, so that it is freed without a garbage collection.

        The parser refers to methods of this object, and so does the latest request, by its scope
        and its callback: two cycles. With our thresholds a collection may take hours to come.
        """
        super().connection_lost(exc)
        if self.limit is not None and self.is_counted:
            self.limit.release(peer_host(self.transport))
        self.timers.stop(self)
        latest = cast("RequestResponseCycle | None", self.cycle)
        for cycle in [*([latest] if latest else []), *(queued for queued, _ in self.pipeline)]:
            cycle.on_response = _do_nothing
        self.pipeline.clear()
        self.unparsed = b""
        self.parser = self.cycle = self.scope = None  # type: ignore[assignment]
        self.headers = []
        self.ending = None

    @override
    def data_received(self, data: bytes) -> None:
        """Parse the data, unless it has to wait for requests before it, or for a place.

        uvicorn parses all there is, and keeps every request until it is answered.
        """
        if self.refusal is not None:
            read_on(self.transport, self.timers.discarding)
        elif self.unparsed:  # a read that was under way when reading was paused
            self._hold(self.unparsed[self.unparsed_start :] + data, 0)
        else:
            self._parse(data, 0)

    # Called by timers.

    def fail_slow_head(self) -> None:
        """Refuse a connection whose head did not arrive in time, unless it waits for a place."""
        if self.is_in_line:
            self.timers.head.start(self)
            return
        self.refusal = HTTPStatus.REQUEST_TIMEOUT
        self.send_400_response("The request took too long.")

    def end_idle_connection(self) -> None:
        """End a connection on which no next request came in time, unless one waits for a place."""
        if self.is_in_line:
            self.timers.idle.start(self)
        else:
            self.transport.close()

    # Parsing.

    def _parse(self, data: bytes, start: int, *, has_place: bool = False) -> None:
        """Parse pieces of a chunk; each that may begin a request takes a place in this turn."""
        while start < len(data):
            if self.pipeline:
                self._hold(data, start)  # until `on_response_complete`
                return
            if not (has_place or not self.reading_head or self.pacing.take()):
                self._hold(data, start)
                self._line_up()
                return
            has_place = False
            self.data, self.piece_start = data, start
            start = end_of_piece(data, start)
            self.piece = data[self.piece_start : start]
            self._parse_piece(self.piece)
            self.data = self.piece = b""
            if self.refusal is not None or self.is_handed_over:
                return

    def _hold(self, data: bytes, start: int) -> None:
        """Keep a chunk from so far on, and read nothing more meanwhile."""
        self.unparsed, self.unparsed_start = data, start
        self.held_flow.hold()

    def _line_up(self) -> None:
        """Wait for a place to parse what is held."""
        if not self.is_in_line:
            self.is_in_line = True
            self.pacing.submit(self._parse_held)

    def _parse_held(self) -> bool:
        """Parse what was held; return whether there was anything to do."""
        self.is_in_line = False
        if not self.unparsed or self.pipeline or self.transport.is_closing():
            return False
        held, self.unparsed = self.unparsed, b""
        self._parse(held, self.unparsed_start, has_place=True)
        if not self.unparsed:
            self.held_flow.release()
        return True

    def _parse_piece(self, piece: bytes) -> None:
        """Parse some bytes, and refuse a head or framing over the limit: it may never end."""
        self.head_bytes += len(piece)
        self.body_bytes = 0
        super().data_received(piece)
        if self.refusal is not None or self.is_handed_over:
            return
        if self.reading_head:
            status = refusal_of_size(self.head_bytes, len(self.url), len(self.headers or ()))
            self._refuse(status, "Request head over the limit.")
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

    # Called by the parser.

    @override
    def on_message_begin(self) -> None:
        """Start the time for each later head on the same connection, too."""
        super().on_message_begin()
        self.timers.idle.stop(self)
        self.timers.head.start(self)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        """Drop trailers: uvicorn appends them to the headers, which were judged already.

        RFC 9110 section 6.5.1 says why a trailer must not be merged into them.
        """
        if self.reading_head:
            super().on_header(name, value)
            return
        self.framing.add_trailer()
        if self.framing.is_excessive:
            self.refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise httptools.HttpParserError  # uvicorn then calls send_400_response

    @override
    def on_headers_complete(self) -> None:
        """Refuse a bad head before anything uses it: uvicorn passes all of them on."""
        self.reading_head = False
        self.framing = BodyFraming()
        self.timers.head.stop(self)
        version, method = self.parser.get_http_version(), self.parser.get_method()
        self.refusal = refusal_of_head(
            self.url, self.headers, version=version, method=method, is_upgrade=self._should_upgrade
        )
        if self.refusal is not None:
            raise httptools.HttpParserError  # uvicorn then calls send_400_response
        self._decline_or_take(version, method)

    def _decline_or_take(self, version: str, method: bytes) -> None:
        """Pass a good head on to uvicorn, which would drop the body of an upgrade not taken."""
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.declined = DeclinedUpgrade(method, self.url, version, [*self.headers])
            return
        if self.declined is not None:
            self.headers[:] = self.declined.headers
            self.declined = None
        self.url = origin_form(self.url, self.headers)
        if version == "1.0":  # RFC 9110 section 10.1.1
            self.expect_100_continue = False
        # Not for an upgrade: the socket's scope would keep this protocol alive, in a cycle.
        if not self.parser.should_upgrade():
            scope = cast("dict[str, object]", self.scope)
            ways = {"on_shutdown": self.on_shutdown, "abort": self.abort}
            scope["extensions"] = {STREAM_EXTENSION: ways}
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        """Count the body, to know what is around it."""
        self.body_bytes += len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        """Start counting the next head, unless this one is read again."""
        if self.declined is not None:
            return
        super().on_message_complete()
        self.reading_head = True
        self.head_bytes = 0

    # Called by the application, through uvicorn.

    def on_shutdown(self, end: Callable[[], None] | None) -> None:
        """Register a function to call when the server stops; None removes it."""
        self.ending = end

    def abort(self) -> None:
        """Drop the connection and its unsent bytes."""
        self.transport.abort()

    @override
    def on_response_complete(self) -> None:
        """Answer the next request, or start the time in which one must begin.

        uvicorn's timer is stopped by any byte, be it a line break or part of a body that the
        application did not read, and no other is started.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._answer(*self.pipeline.pop())
        elif self.refusal is not None:
            self.send_400_response(self.refusal_text)
        elif self not in self.timers.head:  # no next head has begun
            self.timers.idle.start(self)
        if self.unparsed:
            self._line_up()
        elif not self.pipeline:
            self.flow.resume_reading()

    def _answer(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Run the application for a request that waited; uvicorn before 0.46 has no method."""
        task = task_of_request(cycle.run_asgi(app), self.config, self.loop)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    # Ends.

    @override
    def shutdown(self) -> None:
        """Ask a response without end to end: uvicorn waits for it, and does not tell it."""
        super().shutdown()
        if self.ending is not None:
            self.ending()

    @override
    def _unsupported_upgrade_warning(self) -> None:
        """Read the request again without its upgrade: uvicorn drops its body and all after it."""
        if self._get_upgrade() != b"h2c":  # which Java's HttpClient asks for with each request
            super()._unsupported_upgrade_warning()
        head = cast("DeclinedUpgrade", self.declined).render()
        end = cast("httptools.HttpParserUpgrade", sys.exception()).args[0]
        self.parser, self.reading_head = new_parser(self), True
        self.piece = head + self.piece[end:]
        self.piece_start += end - len(head)  # what is behind the head stays in its place
        super().data_received(self.piece)

    @override
    def handle_websocket_upgrade(self) -> None:
        """Hand over the connection and the bytes after the head, which uvicorn drops."""
        self.is_handed_over = True
        self.timers.stop(self)
        protocol = self.ws_protocol_class
        release(self.transport)
        if protocol is not None and issubclass(protocol, WebSocketProtocol):
            self._hand_over(protocol)
            self.is_counted = False  # the socket releases it when it is gone
        else:
            super().handle_websocket_upgrade()
        end = cast("httptools.HttpParserUpgrade", sys.exception()).args[0]
        if rest := self.data[self.piece_start + end :]:
            cast("asyncio.Protocol", self.transport.get_protocol()).data_received(rest)
        del self.parser  # it refers to this protocol's methods: a cycle

    def _hand_over(self, protocol: type[WebSocketProtocol]) -> None:
        """Pass the parsed head and the addresses on; uvicorn renders a head to be parsed again."""
        self.connections.discard(self)
        socket = protocol(self.config, self.server_state, self.app_state)
        socket.connection_made(self.transport)
        self.transport.set_protocol(socket)
        request = RequestHead(self.parser.get_method(), self.url, self.headers)
        socket.begin(request, SocketAddresses(self.server, self.client, self.scheme == "https"))

    @override
    def send_400_response(self, msg: str) -> None:
        """Answer with the status of the refusal, 400 by default, and let the peer read it.

        Requests that came before it are answered first. If the refused part is the body of a
        request whose response has begun, the connection just ends.
        """
        self.refusal = self.refusal or status_of_fault(sys.exception(), self.piece)
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_answered = cycle is None or cycle.response_complete
        if not is_answered and (self.reading_head or self.pipeline):
            self.refusal_text = msg  # of a later request: `on_response_complete` sends it
            self.held_flow.hold()
            return
        ending = MortalTransport(self.transport, self.loop, LINGER_SECONDS)
        if cycle is not None and not is_answered:
            cycle.disconnected = True  # the application can send nothing more
            cycle.message_event.set()
            if cycle.response_started:
                ending.close()
                return
        self.transport.write(render_fault(self.refusal, self.server_state.default_headers, msg))
        ending.linger()


def _do_nothing() -> None:
    """Ignore that a response is complete: its connection is gone."""
