"""How a socket ends: who says the last word, what is still waited for, and who is told.

RFC 6455 section 7 has the order: a close frame each way, then the server closes the connection.
Whoever does not keep to it, or does not read, has `patience` and is cut.
"""

import asyncio
from enum import IntEnum
from typing import ClassVar, Final

from typing_extensions import override

from itemwire.close_reasons import DRAINING, INTERNAL, MESSAGE_TIMEOUT, PING_TIMEOUT
from itemwire.fastpath import frames
from itemwire.fastpath.exchange import Exchange, Exchanged
from itemwire.fastpath.extension import Receiver
from itemwire.fastpath.frames import close_frame, control_frame, read_close
from itemwire.fastpath.surroundings import Surroundings, Timed

DECISION_SECONDS: Final = 1.0  # for an application, once its server stops


class Phase(IntEnum):
    """How far a connection has come."""

    HEAD = 0  # its request has not come
    DECIDING = 1  # the application thinks
    OPEN = 2
    CLOSING = 3  # our close frame is sent, the peer's awaited
    ENDED = 4  # nothing is read or written any more


class Ending(Exchanged, Timed):
    """The end of a socket, whose life is in `protocol.py`; a base class costs it no object."""

    # Ten seconds are promised for a close that nobody answers; one is for late timers.
    patience: ClassVar[float] = 9.0
    # To finish a message that was begun: 64 KiB at 9 kbit/s.
    message_seconds: ClassVar[float] = 60.0

    __slots__ = (
        "_around",
        "_exchange",
        "_is_held",
        "_is_told",
        "_phase",
        "_receiver",
        "transport",
    )

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._phase = Phase.HEAD
        self._exchange: Exchange | None = None
        self._receiver: Receiver | None = None
        self.transport: asyncio.Transport
        self._is_held = False  # reading waits for the application, or for other sockets
        self._is_told = False  # whoever has the socket knows that it is gone

    # Who ends it: the application, the server, the peer, or a fault.

    @override
    def close(self, code: int, reason: str) -> None:
        if self._phase is Phase.OPEN:
            self._send_close(code, reason)
            self.go_on()

    @override
    def finish(self) -> None:
        self._exchange = None
        if self._receiver is None and self._phase is Phase.OPEN:
            self._end()

    def shutdown(self) -> None:
        """End with 1012, in the order of a close: the peer answers, then the connection goes.

        A handshake that is being decided on has a second, so that its client hears of it too.
        """
        self._around.is_stopping = True
        if self._phase is Phase.OPEN:
            self._conclude(DRAINING.code, DRAINING.reason)
            self._tell(DRAINING.code)
        elif self._phase is Phase.CLOSING:
            self._linger()
        elif self._phase is Phase.HEAD:
            self.deny(503, [], b"Service Unavailable")
        elif self._phase is Phase.DECIDING:
            self._around.loop.call_later(DECISION_SECONDS, self._deny_undecided)

    def _deny_undecided(self) -> None:
        if self._phase is Phase.DECIDING:
            self.deny(500, [], b"Internal Server Error")

    def _hear_close(self, payload: bytes) -> None:
        """Answer the peer's close, or take its answer to ours: the end (RFC 6455 section 7.1)."""
        code, reason = read_close(payload)
        if self._phase is Phase.OPEN:
            self.transport.write(control_frame(frames.CLOSE, payload))
        self._tell(code, reason)
        self._end()

    def _fail(self, code: int, reason: str) -> None:
        """Close for a fault of the peer, and read nothing more of it."""
        self._conclude(code, reason)
        self._tell(code, reason)
        self._linger()

    def _fail_application(self) -> None:
        """Close for a fault of whoever has the socket; that is not asked for last words."""
        if self._phase is Phase.OPEN:
            self._send_close(INTERNAL.code, INTERNAL.reason)
        self._tell(INTERNAL.code)
        self._linger()

    def _conclude(self, code: int, reason: str) -> None:
        """Close, after the last words of whoever has the socket; they may close it, too."""
        if self._phase is Phase.OPEN and self._receiver is not None:
            self._receiver.ending(code, reason)
        if self._phase is Phase.OPEN:
            self._send_close(code, reason)

    # What ends it in time.

    @override
    def give_up(self) -> None:
        """End a peer that answers no ping; one that reads nothing either gets no close frame."""
        if self.transport.get_write_buffer_size():
            self._tell(PING_TIMEOUT.code)
            self.transport.abort()
        else:
            self._conclude(PING_TIMEOUT.code, PING_TIMEOUT.reason)
            self._tell(PING_TIMEOUT.code)
            self._end()

    @override
    def fail_slow_message(self) -> None:
        """End a peer that has begun a message and does not finish it."""
        self._fail(MESSAGE_TIMEOUT.code, MESSAGE_TIMEOUT.reason)

    @override
    def abort(self) -> None:
        """Cut the connection: its time to end is up."""
        self.transport.abort()

    # The steps.

    def _send_close(self, code: int, reason: str) -> None:
        """Send our close frame, the last we send; the peer has its time to answer."""
        self._phase = Phase.CLOSING
        self._around.quiet.stop(self)
        self._around.unanswered.stop(self)
        self._around.ending.start(self)
        self.transport.write(close_frame(code, reason))

    def _linger(self) -> None:
        """Close for writing, and discard what comes until the peer closes or its time is up.

        Closing with input unread makes the kernel send a reset that overtakes the answer (RFC
        9112 section 9.6): a client on asyncio streams, in the middle of 8 MiB, lost the close
        frame with its 1009 in 8 trials of 8.
        """
        if not self.transport.can_write_eof():  # TLS cannot half-close
            self._end()
            return
        self._around.ending.start(self)
        self._phase = Phase.ENDED
        if not self.transport.is_closing():
            if self._is_held:
                self.transport.resume_reading()
            self.transport.write_eof()

    def _end(self) -> None:
        """Close once everything is sent, or when the time is up."""
        self._phase = Phase.ENDED
        self._around.ending.start(self)
        self.transport.close()

    def _tell(self, code: int, reason: str | None = None) -> None:
        """Tell whoever has the socket that it is gone, once."""
        if self._is_told:
            return
        self._is_told = True
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.closed(code)
        elif self._exchange is not None:
            self._exchange.disconnect(code, reason)
            self._exchange.lose()
