"""uvicorn's HTTP class, made strict and bounded about what comes before a socket is one.

uvicorn loads it by import string: `--http itemwire.fastpath.http:HttpProtocol`. Each override says
what uvicorn 0.54 does without it.
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
from itemwire.fastpath.handshake import NO_STORE, Request, judge_size
from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.fastpath.surroundings import Ends
from itemwire.fastpath.timeouts import Timeout
from itemwire.fastpath.transport import MortalTransport

# A cookie has none (RFC 6265 section 4.1.1), a quoted one a few. Python before 3.11.10 takes 5 s to
# unquote 60 KiB of them (CVE-2024-7592), which stops every socket.
MAX_COOKIE_BACKSLASHES: Final = 256
LINGER_SECONDS: Final = 1.0
BARE_HEAD_BYTES: Final = len(b"GET  HTTP/1.1\r\n\r\n")
BARE_HEADER_BYTES: Final = len(b": \r\n")


# By server: the heads that have not come yet.
_heads: "WeakKeyDictionary[ServerState, Timeout[HttpProtocol]]" = WeakKeyDictionary()


class HttpProtocol(HttpToolsProtocol):
    """Bounds the head of a request and refuses an ambiguous one.

    uvicorn bounds neither the size nor the number of headers, nor the time they may take.
    """

    handshake_seconds: ClassVar[float] = 10.0  # for a whole head to come (slowloris)

    url = b""
    data = b""  # that is being parsed
    head_bytes = 0  # received for the head that is being read
    reading_head = True
    refusal: int | None = None
    ending: Callable[[], None] | None = None  # asks the answer under way to end

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        heads = _heads.get(self.server_state)
        if heads is None:
            heads = Timeout(self.loop, self.handshake_seconds, HttpProtocol.give_up)
            _heads[self.server_state] = heads
        self.heads = heads

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
        """Start the time for the first head."""
        super().connection_made(transport)
        self.heads.start(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.heads.stop(self)

    def give_up(self) -> None:
        """End a connection whose head did not come in time."""
        self.refusal = HTTPStatus.REQUEST_TIMEOUT
        self.send_400_response("The request took too long.")

    @override
    def data_received(self, data: bytes) -> None:
        """Cut a head that is too long before its end has come, which it may never do."""
        if self.refusal is not None:
            return
        self.head_bytes += len(data)
        self.data = data
        super().data_received(data)
        self.data = b""
        if self.reading_head and self.refusal is None:
            self.refusal = self._judge_size(self.head_bytes)
            if self.refusal is not None:
                self.logger.warning("Request head over the limit.")
                self.send_400_response("Request head over the limit.")

    @override
    def on_message_begin(self) -> None:
        """Start the time for a later head on the same connection, too."""
        super().on_message_begin()
        self.heads.start(self)

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
        self.heads.stop(self)
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
        if end < len(self.data):
            cast("asyncio.Protocol", self.transport.get_protocol()).data_received(self.data[end:])
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
        """Answer with the status of the refusal, 400 where none was chosen."""
        self.refusal = self.refusal or HTTPStatus.BAD_REQUEST
        self.transport.write(_render(self.refusal, self.server_state.default_headers, msg))
        if getattr(self.cycle, "response_complete", True):  # None before the first request
            MortalTransport(self.transport, self.loop, LINGER_SECONDS).linger()
        else:
            self.transport.close()  # an earlier request is still being answered on this socket

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
