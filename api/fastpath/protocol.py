"""uvicorn's own protocol classes, repaired for clients that are refused, hostile or stuck.

uvicorn loads them by import string: `http="api.fastpath.protocol:HttpProtocol"` and
`ws="api.fastpath.protocol:WebSocketProtocol"`. Each override says what uvicorn 0.54 does
without it.
"""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast

import httptools
from typing_extensions import override
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Close, CloseCode, Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

from api.fastpath.conversation import MAX_HEAD_BYTES, Conversation
from api.fastpath.transport import MortalTransport

MAX_HEADERS: Final = 128
# A cookie has none (RFC 6265 section 4.1.1), a quoted one a few. Python before 3.11.10 takes 5 s to
# unquote 60 KiB of them (CVE-2024-7592), which stops every socket.
MAX_COOKIE_BACKSLASHES: Final = 256
MAX_FRAGMENTS: Final = 1024  # of one message: empty ones take memory that no size limit sees
LINGER_SECONDS: Final = 1.0
BARE_HEAD_BYTES: Final = len(b"GET  HTTP/1.1\r\n\r\n")
BARE_HEADER_BYTES: Final = len(b": \r\n")


class HttpProtocol(HttpToolsProtocol):
    """Bounds the head of a request and refuses an ambiguous one.

    uvicorn bounds neither the size nor the number of headers.
    """

    url = b""
    head_bytes = 0  # received for the head that is being read
    reading_head = True
    refusal: int | None = None

    @override
    def data_received(self, data: bytes) -> None:
        """Cut a head that is too long before its end has come, which it may never do."""
        if self.refusal is not None:
            return
        self.head_bytes += len(data)
        super().data_received(data)
        if self.reading_head and self.refusal is None:
            self.refusal = self._judge_size(self.head_bytes)
            if self.refusal is not None:
                self.logger.warning("Request head over the limit.")
                self.send_400_response("Request head over the limit.")

    @override
    def on_headers_complete(self) -> None:
        """Refuse a bad head before anything acts on it."""
        self.reading_head = False
        lines = sum(len(name) + len(value) + BARE_HEADER_BYTES for name, value in self.headers)
        self.refusal = self._judge_size(BARE_HEAD_BYTES + len(self.url) + lines)
        self.refusal = self.refusal or self._judge_cookies() or self._judge_host()
        if self.refusal is not None:
            raise httptools.HttpParserError  # uvicorn then calls send_400_response
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        """Start counting the next head."""
        super().on_message_complete()
        self.reading_head = True
        self.head_bytes = 0

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
        if head_bytes > MAX_HEAD_BYTES:
            return 414 if len(self.url) > MAX_HEAD_BYTES // 2 else 431
        return 431 if len(self.headers or ()) > MAX_HEADERS else None

    def _judge_cookies(self) -> int | None:
        slashes = sum(value.count(b"\\") for name, value in self.headers if name == b"cookie")
        return 400 if slashes > MAX_COOKIE_BACKSLASHES else None

    def _judge_host(self) -> int | None:
        """Refuse two Hosts or none (RFC 9112 section 3.2); RFC 6455 section 4.1 wants HTTP/1.1."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if self.parser.get_http_version() == "1.1":
            return None if hosts == 1 else 400
        return 400 if hosts > 1 or self._should_upgrade() else None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Answers every refusal, and ends every connection in bounded time."""

    # Ten seconds are promised for a close that nobody answers; one is for late timers.
    patience: ClassVar[float] = 9.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self.close_timeout = self.patience
        self.conn: ServerProtocol = Conversation(self.conn)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put every close, uvicorn's own too, under one deadline."""
        self.mortal = MortalTransport(
            cast("asyncio.Transport", transport), self.loop, self.patience
        )
        super().connection_made(cast("asyncio.Transport", self.mortal))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.mortal.forget()

    @override
    def eof_received(self) -> None:
        """Close under the deadline: the transport's own close would wait for a stuck peer."""
        self.mortal.close()

    @override
    def data_received(self, data: bytes) -> None:
        """Discard what follows the end (RFC 6455 section 7.1.7); answer an unreadable head.

        uvicorn says nothing to a head that the library refuses, one that announces a body included.
        """
        if self.conn.eof_sent:
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handle_parser_exception()

    @override
    def handle_parser_exception(self) -> None:
        """Say why the connection fails; 400 where no close frame can be sent yet."""
        close = self.conn.close_sent or Close(CloseCode.ABNORMAL_CLOSURE, "")
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        )
        self.handshake_complete = self.close_sent = True
        last_words = b"".join(self.conn.data_to_send())
        if self.conn.close_sent is None and not last_words:
            last_words = _render(400, self.default_headers, "Bad Request")
        self.mortal.write(last_words)
        self.mortal.linger()
        if self.close_timer is None:  # with one, uvicorn leaves the socket when the app returns
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

    @override
    def handle_ping(self) -> None:
        """Drop the pong for a peer that does not read: unread ones were kept without bound.

        RFC 6455 section 5.5.2 asks for an answer to the latest ping only.
        """
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    @override
    def handle_cont(self, event: Frame) -> None:
        """Bound the fragments of a message, and keep none once the end has begun."""
        if self.close_sent:
            return
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG)
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    @override
    def handle_close(self, event: Frame) -> None:
        """Take a close ahead of the handshake for the fault it is; uvicorn logs a stack trace."""
        if self.handshake_complete:
            super().handle_close(event)
        else:
            self.handle_parser_exception()

    @override
    def send_receive_event_to_app(self) -> None:
        """Fail on invalid UTF-8 without the stack trace that uvicorn logs."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.conn.fail(CloseCode.INVALID_DATA)
                self.handle_parser_exception()
        super().send_receive_event_to_app()  # which drops the message once close_sent is set

    @override
    def keepalive_timeout(self) -> None:
        """Cut a peer that reads nothing either: it would not get the close frame."""
        if not self.close_sent:
            super().keepalive_timeout()
            if self.transport.get_write_buffer_size():
                self.transport.abort()

    @override
    async def send(self, message: ASGISendEvent) -> None:
        """Let a close go ahead when the peer does not read, and stop who waits to send."""
        waiting = not self.writable.is_set()
        if message["type"] == "websocket.close":
            self.writable.set()
        await self.writable.wait()
        if self.close_sent and (waiting or self.conn.eof_sent):
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # a denial is complete; uvicorn logs an error for it
            self.mortal.begin_end()

    @override
    def shutdown(self) -> None:
        """Close; uvicorn's drain dies of InvalidState where the peer's close came first."""
        if self.conn.state is State.CLOSING:
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()


def _render(status: int, headers: list[tuple[bytes, bytes]], text: str) -> bytes:
    """Render a whole response that ends the connection."""
    lines = [
        *headers,
        (b"connection", b"close"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
    ]
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return STATUS_LINE[status] + fields + b"\r\n" + text.encode()
