"""uvicorn's HTTP class with limits on request heads, and strict about ambiguous ones.

uvicorn loads it by import string: `--http itemwire.fastpath.http:HttpProtocol`. The docstring of
each override says what uvicorn 0.54 lacks.
"""

import asyncio
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

import httptools
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from itemwire.fastpath.extension import STREAM_EXTENSION
from itemwire.fastpath.handshake import NO_STORE, RequestHead, refusal_of_size
from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.fastpath.shared_state import SocketAddresses
from itemwire.fastpath.timeouts import Timeout
from itemwire.fastpath.transport import MortalTransport

# A cookie has no backslash (RFC 6265 section 4.1.1), a quoted one has a few. Python before 3.11.10
# takes 5 s to unquote 60 KiB of them (CVE-2024-7592), and every socket waits meanwhile.
MAX_COOKIE_BACKSLASHES: Final = 256
LINGER_SECONDS: Final = 1.0
BARE_HEAD_BYTES: Final = len(b"GET  HTTP/1.1\r\n\r\n")
BARE_HEADER_BYTES: Final = len(b": \r\n")


# By server: the connections that wait for a whole request head.
_head_timers: "WeakKeyDictionary[ServerState, Timeout[HttpProtocol]]" = WeakKeyDictionary()


class HttpProtocol(HttpToolsProtocol):
    """Limits the head of a request and refuses an ambiguous one.

    uvicorn limits neither the size and number of headers nor the time in which they come.
    """

    handshake_seconds: ClassVar[float] = 10.0  # for a whole head to arrive (slowloris)

    parser: httptools.HttpRequestParser  # uvicorn types it as optional: None once it is lost

    url = b""
    data = b""  # the chunk that is being parsed
    head_bytes = 0  # received for the head that is being read
    reading_head = True
    refusal: int | None = None  # the status with which this connection was refused
    ending: Callable[[], None] | None = None  # asks a response without end to end

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        super().__init__(*args, **kwargs)
        head_timer = _head_timers.get(self.server_state)
        if head_timer is None:
            head_timer = Timeout(self.loop, self.handshake_seconds, HttpProtocol.fail_slow_head)
            _head_timers[self.server_state] = head_timer
        self.head_timer = head_timer

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
        """Start the time in which the first head must arrive; uvicorn has no such limit."""
        super().connection_made(transport)
        self.head_timer.start(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.head_timer.stop(self)

    def fail_slow_head(self) -> None:
        """Refuse a connection whose head did not arrive in time."""
        self.refusal = HTTPStatus.REQUEST_TIMEOUT
        self.send_400_response("The request took too long.")

    @override
    def data_received(self, data: bytes) -> None:
        """Refuse a head over the limit as it arrives: its end may never come."""
        if self.refusal is not None:
            return
        self.head_bytes += len(data)
        self.data = data
        super().data_received(data)
        self.data = b""
        if self.reading_head and self.refusal is None:
            self.refusal = self._refusal_of_size(self.head_bytes)
            if self.refusal is not None:
                self.logger.warning("Request head over the limit.")
                self.send_400_response("Request head over the limit.")

    @override
    def on_message_begin(self) -> None:
        """Start the time for each later head on the same connection, too."""
        super().on_message_begin()
        self.head_timer.start(self)

    def on_shutdown(self, end: Callable[[], None] | None) -> None:
        """Register a function to call when the server stops; None removes it."""
        self.ending = end

    def abort(self) -> None:
        """Drop the connection and its unsent bytes."""
        self.transport.abort()

    @override
    def shutdown(self) -> None:
        """Ask a response without end to end: uvicorn waits for it, and does not tell it."""
        super().shutdown()
        if self.ending is not None:
            self.ending()

    @override
    def on_headers_complete(self) -> None:
        """Refuse a bad head before anything uses it: uvicorn passes all of them on."""
        self.reading_head = False
        self.head_timer.stop(self)
        self.refusal = self._refusal_of_head()
        if self.refusal is not None:
            raise httptools.HttpParserError  # uvicorn then calls send_400_response
        # Not for an upgrade: the socket's scope would keep this protocol alive, in a cycle.
        if not self.parser.should_upgrade():
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
        """Hand over the connection and the bytes after the head, which uvicorn drops."""
        protocol = self.ws_protocol_class
        if protocol is not None and issubclass(protocol, WebSocketProtocol):
            self._hand_over(protocol)
        else:
            super().handle_websocket_upgrade()
        end = cast("httptools.HttpParserUpgrade", sys.exception()).args[0]
        if end < len(self.data):
            cast("asyncio.Protocol", self.transport.get_protocol()).data_received(self.data[end:])
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
        """Answer with the status of the refusal, 400 by default, and let the peer read it."""
        self.refusal = self.refusal or HTTPStatus.BAD_REQUEST
        self.transport.write(_render(self.refusal, self.server_state.default_headers, msg))
        if getattr(self.cycle, "response_complete", True):  # None before the first request
            MortalTransport(self.transport, self.loop, LINGER_SECONDS).linger()
        else:
            self.transport.close()  # an earlier request on this connection is being answered

    def _refusal_of_size(self, head_bytes: int) -> int | None:
        return refusal_of_size(head_bytes, len(self.url), len(self.headers or ()))

    def _refusal_of_head(self) -> int | None:
        """Return the status that refuses a complete head, None if it is good."""
        size, hosts, slashes = BARE_HEAD_BYTES + len(self.url), 0, 0
        for name, value in self.headers:
            size += len(name) + len(value) + BARE_HEADER_BYTES
            if name == b"host":
                hosts += 1
            elif name == b"cookie":
                slashes += value.count(b"\\")
        is_bad = slashes > MAX_COOKIE_BACKSLASHES or not self._is_host_clear(hosts)
        return self._refusal_of_size(size) or (HTTPStatus.BAD_REQUEST if is_bad else None)

    def _is_host_clear(self, hosts: int) -> bool:
        """Return whether the Host is unambiguous: exactly one (RFC 9112 section 3.2).

        HTTP/1.0 may have none, but cannot upgrade (RFC 6455 section 4.1).
        """
        if self.parser.get_http_version() == "1.1":
            return hosts == 1
        return hosts <= 1 and not self._should_upgrade()


def _render(status: int, headers: list[tuple[bytes, bytes]], text: str) -> bytes:
    """Render a complete response that ends the connection."""
    lines = [
        *headers,
        (b"connection", b"close"),
        NO_STORE,
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
    ]
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return STATUS_LINE[status] + fields + b"\r\n" + text.encode()
