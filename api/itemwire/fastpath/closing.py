"""How a WebSocket ends: the closing handshake, time limits, and reporting the end.

RFC 6455 section 7 gives the order: each side sends a close frame, then the server closes the TCP
connection. A peer that does not follow it, or does not read, is dropped after `close_seconds`.
"""

import asyncio
from enum import IntEnum
from typing import ClassVar, Final

from typing_extensions import override

from itemwire.close_reasons import DRAINING, INTERNAL, MESSAGE_TIMEOUT, PING_TIMEOUT
from itemwire.fastpath import frames
from itemwire.fastpath.asgi_exchange import ASGIExchange, ExchangeSocket
from itemwire.fastpath.extension import Receiver
from itemwire.fastpath.frames import close_frame, control_frame, read_close
from itemwire.fastpath.shared_state import SharedState, TimedSocket

DECISION_SECONDS: Final = 1.0  # for an application to answer a handshake once its server stops


class Phase(IntEnum):
    """The states of a connection. It only ever moves downwards in this list."""

    HEAD = 0  # waiting for the upgrade request
    DECIDING = 1  # waiting for the application to accept or deny
    OPEN = 2
    CLOSING = 3  # our close frame is sent, the peer's is awaited
    ENDED = 4  # nothing is read or written any more


class ClosingHandshake(ExchangeSocket, TimedSocket):
    """The last part of a socket's life; `protocol.py` has the rest.

    A base class, and not an object of its own, because an object would cost memory per connection.
    """

    # Users are told that a close takes ten seconds at most; one is left for late timers.
    close_seconds: ClassVar[float] = 9.0
    # For a peer that is refused: strangers must not hold descriptors. 2 s are promised.
    refusal_seconds: ClassVar[float] = 1.8
    # For a message that was begun: enough for 64 KiB at 9 kbit/s.
    message_seconds: ClassVar[float] = 60.0

    __slots__ = (
        "_exchange",
        "_is_end_reported",
        "_is_reading_paused",
        "_phase",
        "_receiver",
        "_shared",
        "transport",
    )

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._phase = Phase.HEAD
        # Who owns an open socket: the exchange with the application, or, once the application has
        # detached it, a receiver. Never both.
        self._exchange: ASGIExchange | None = None
        self._receiver: Receiver | None = None
        self.transport: asyncio.Transport
        self._is_reading_paused = False  # until the application, or other sockets, had their turn
        self._is_end_reported = False  # the owner knows that the socket is gone

    # Reasons to end: the application, the server, the peer, or a fault.

    @override
    def close(self, code: int, reason: str) -> None:
        if self._phase is Phase.OPEN:
            self._send_close(code, reason)
            self.resume_reading()

    @override
    def refuse(self, code: int, reason: str) -> None:
        self._shared.refusal_timer.start(self)
        self.close(code, reason)

    @override
    def application_returned(self) -> None:
        self._exchange = None
        if self._receiver is None and self._phase is Phase.OPEN:
            self._end()

    def shutdown(self) -> None:
        """Close with 1012 because the server stops; the peer may answer before the TCP close.

        If the application has yet to answer the handshake, it gets a second to do so, so that its
        client learns the reason too.
        """
        self._shared.is_stopping = True
        if self._phase is Phase.OPEN:
            self._close_after_last_words(DRAINING.code, DRAINING.reason)
            self._report_end(DRAINING.code)
        elif self._phase is Phase.CLOSING:
            self._linger()
        elif self._phase is Phase.HEAD:
            self.deny(503, [], b"Service Unavailable")
        elif self._phase is Phase.DECIDING:
            self._shared.loop.call_later(DECISION_SECONDS, self._deny_undecided)

    def _deny_undecided(self) -> None:
        if self._phase is Phase.DECIDING:
            self.deny(500, [], b"Internal Server Error")

    def _receive_close(self, payload: bytes) -> None:
        """Answer the peer's close frame, unless it answers ours, and end (RFC 6455 section 7.1)."""
        code, reason = read_close(payload)
        if self._phase is Phase.OPEN:
            # RFC 6455 section 5.5.1: the answer typically echoes the status code.
            self.transport.write(control_frame(frames.CLOSE, payload))
        self._report_end(code, reason)
        self._end()

    def _fail(self, code: int, reason: str) -> None:
        """Close because the peer violated a rule, and discard what it sends from now on."""
        self._close_after_last_words(code, reason)
        self._report_end(code, reason)
        self._linger()

    def _fail_application(self) -> None:
        """Close because the owner of the socket failed; it is not asked for last words."""
        if self._phase is Phase.OPEN:
            self._send_close(INTERNAL.code, INTERNAL.reason)
        self._report_end(INTERNAL.code)
        self._linger()

    def _close_after_last_words(self, code: int, reason: str) -> None:
        """Let the receiver write its last messages, then close unless the receiver did."""
        if self._phase is Phase.OPEN and self._receiver is not None:
            self._receiver.ending(code, reason)
        if self._phase is Phase.OPEN:
            self._send_close(code, reason)

    # Time limits.

    @override
    def fail_unanswered_ping(self) -> None:
        """End a peer that answers no ping; if it does not read either, without a close frame."""
        if self.transport.get_write_buffer_size():
            self._report_end(PING_TIMEOUT.code)
            self.transport.abort()
        else:
            self._close_after_last_words(PING_TIMEOUT.code, PING_TIMEOUT.reason)
            self._report_end(PING_TIMEOUT.code)
            self._end()

    @override
    def fail_slow_message(self) -> None:
        """End a peer that began a message and did not finish it in time."""
        self._fail(MESSAGE_TIMEOUT.code, MESSAGE_TIMEOUT.reason)

    @override
    def abort(self) -> None:
        """Drop a connection that did not close in time."""
        self.transport.abort()

    # Steps of the closing handshake.

    def _send_close(self, code: int, reason: str) -> None:
        """Send our close frame, after which we send nothing (RFC 6455 section 5.5.1)."""
        self._phase = Phase.CLOSING
        self._shared.ping_timer.stop(self)
        self._shared.pong_timer.stop(self)
        self._shared.close_timer.start(self)
        self.transport.write(close_frame(code, reason))

    def _linger(self) -> None:
        """Close for writing, and discard input until the peer closes or its time is up.

        If a socket is closed while it has unread input, the kernel sends a reset, and the peer may
        lose the answer (RFC 9112 section 9.6). Measured: a client on asyncio streams that was
        sending 8 MiB lost the close frame with code 1009 in 8 trials of 8.
        """
        if not self.transport.can_write_eof():  # TLS cannot half-close
            self._end()
            return
        self._shared.close_timer.start(self)
        self._phase = Phase.ENDED
        if not self.transport.is_closing():
            if self._is_reading_paused:
                self.transport.resume_reading()
            self.transport.write_eof()

    def _end(self) -> None:
        """Close the TCP connection once everything is sent, or when the time is up."""
        self._phase = Phase.ENDED
        self._shared.close_timer.start(self)
        self.transport.close()

    def _report_end(self, code: int, reason: str | None = None) -> None:
        """Report the end to the owner of the socket, once."""
        if self._is_end_reported:
            return
        self._is_end_reported = True
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.closed(code)
        elif self._exchange is not None:
            self._exchange.disconnect(code, reason)
            self._exchange.mark_gone()
