"""A WebSocket class for uvicorn, for many idle sockets that get the same messages.

uvicorn loads it by import string: `--ws itemwire.fastpath.protocol:WebSocketProtocol`. It serves
any ASGI application as uvicorn's own class does, and offers the extension `itemwire.socket`. A
detached socket keeps no task, queue, request or headers, only the `__slots__` here and in
`closing.py`. Every base class needs `__slots__`: one without would give each socket a `__dict__`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from typing_extensions import override
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import CloseCode

from itemwire.close_reasons import MESSAGE_TOO_BIG, PAYLOAD_INVALID
from itemwire.fastpath import frames
from itemwire.fastpath.asgi_exchange import ASGIExchange
from itemwire.fastpath.closing import ClosingHandshake, Phase
from itemwire.fastpath.extension import BOUNDED, EXTENSION, VERSION, Receiver, Rendering
from itemwire.fastpath.frames import (
    PLAIN_FRAMING,
    FrameReader,
    ProtocolViolation,
    control_frame,
    whole_message,
)
from itemwire.fastpath.handshake import (
    NO_STORE,
    BadHandshake,
    Header,
    OpeningHandshake,
    RequestHead,
    parse_head,
    parse_opening,
    refusal_of_size,
    render_acceptance,
    render_denial,
)
from itemwire.fastpath.head_rules import origin_form, refusal_of_parts
from itemwire.fastpath.shared_state import SocketAddresses, shared_state_of
from itemwire.fastpath.transport import read_on
from itemwire.messages import Frame

logger = logging.getLogger("uvicorn.error")

# The first message in what a socket has received is read at once, the others in runs of so many, of
# which all sockets together have a few in each turn of the event loop. So sockets that are full of
# messages do not delay those that have one, however many they are.
MESSAGES_A_RUN: Final = 8

OPEN: Final = Phase.OPEN  # found once: looking in an enumeration is slow

RECEIVER_FAILED: Final = "Exception in the receiver of a detached WebSocket\n"

PING: Final = control_frame(frames.PING)
REASONS: Final[dict[int, str]] = {
    row.code: row.reason for row in (PAYLOAD_INVALID, MESSAGE_TOO_BIG)
}


class WebSocketProtocol(asyncio.Protocol, ClosingHandshake):
    """One connection, from its upgrade request on; `ClosingHandshake` implements its end."""

    __slots__ = ("_is_full", "_opening", "_ping", "_reader", "framing")

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(shared_state_of(type(self), config, server_state, app_state))
        self._opening: OpeningHandshake | None = None
        self._reader: FrameReader | None = None  # while something received is not read
        self._ping: bytes | None = None  # payload of the latest ping without an answer
        self._is_full = False  # the transport's write buffer is
        self.framing: Rendering = PLAIN_FRAMING

    # Called by asyncio.

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._shared.connections.add(self)  # type: ignore[arg-type] # a set of uvicorn's own classes

    @override
    def data_received(self, data: bytes) -> None:
        """Read a chunk; most are one whole message for a receiver, and are handed over here."""
        receiver = self._receiver
        is_next = self._reader is None and not self._is_reading_paused
        if receiver is not None and is_next and self._phase is OPEN:
            message = whole_message(data, self._shared.max_message_bytes)
            if message is not None:
                try:
                    receiver.received(message)
                except Exception:
                    logger.exception(RECEIVER_FAILED)
                    self._fail_application()
                return
        if self._phase is Phase.HEAD:
            self._receive_head(data)
        elif self._phase is Phase.DECIDING:
            self._feed(data)
            self._pause_reading()
        elif self._phase is not Phase.ENDED:
            self._feed(data)
            if not self._is_reading_paused:
                self._read()
        else:  # RFC 6455 section 7.1.7: discard what comes later
            read_on(self.transport, self._shared.discarding)

    @override
    def eof_received(self) -> None:
        """Bound the end: asyncio closes next, once the buffer is sent, which may never happen."""
        self._shared.close_timer.start(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._phase is Phase.OPEN and self._exchange is not None:
            self._report_end(CloseCode.NO_STATUS_RCVD)  # as uvicorn's own class does
        self._phase = Phase.ENDED
        self._shared.forget(self)
        if self._shared.ends.take():
            self._be_gone()
        else:
            if self._receiver is not None:
                self._receiver.gone()
            self._shared.ends.submit(self._be_gone)

    def _be_gone(self) -> None:
        """Report the end of a connection that was cut, when it is its turn."""
        self._shared.connections.discard(self)
        self._shared.release_connection(self.transport)
        self._report_end(CloseCode.ABNORMAL_CLOSURE)

    @override
    def pause_writing(self) -> None:
        self._is_full = True
        if self._receiver is not None:
            self._receiver.paused()
        elif self._exchange is not None:
            self._exchange.pause()

    @override
    def resume_writing(self) -> None:
        self._is_full = False
        self._answer_ping()
        if self._receiver is not None:
            self._receiver.writable()
        elif self._exchange is not None:
            self._exchange.resume()

    # Called by the exchange with the application.

    @override
    def accept(self, headers: list[Header], subprotocol: str | None) -> None:
        if self._phase is not Phase.DECIDING or self._opening is None:
            return  # the peer is gone; the application gets a disconnect
        shared = self._shared
        answer, framing = render_acceptance(
            self._opening,
            [*shared.default_headers, *headers],
            subprotocol,
            deflates=shared.config.ws_per_message_deflate,
        )
        self._log("[accepted]")
        self._opening = None
        self._phase = Phase.OPEN
        self.transport.write(answer)
        if framing is not PLAIN_FRAMING:
            self.framing = framing
            if self._reader is not None:
                self._reader.inflates = True
        shared.ping_timer.start(self)
        if shared.is_stopping:
            shared.loop.call_soon(self.shutdown)
        if self._is_reading_paused:
            # Frames that came before the answer are read later: a refusal must be sent first.
            shared.loop.call_soon(self.resume_reading)

    @override
    def deny(self, status: int, headers: list[Header], body: bytes) -> None:
        if self._phase in (Phase.HEAD, Phase.DECIDING):
            self._log(status)
            self._shared.refusal_timer.start(self)
            self.transport.write(
                render_denial(status, [*self._shared.default_headers, *headers], body)
            )
            self._linger()

    @override
    def resume_reading(self) -> None:
        self._resume_reading(1)

    def _resume_reading(self, allowed: int) -> None:
        if self._is_reading_paused and self._phase in (Phase.OPEN, Phase.CLOSING):
            self._is_reading_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
            self._read(allowed)

    @override
    def attach_receiver(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._exchange = None
        if self._is_full:
            receiver.paused()
        self.resume_reading()

    # Called by the application, through the exchange or as a detached socket's transport.

    @property
    @override
    def write(self) -> Callable[[bytes], object]:
        # uvloop raises once the connection is gone; the owner learns of that by `closed`.
        return _discard if self._phase is Phase.ENDED else self.transport.write

    @override
    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    @override
    def discard(self) -> None:
        """Do nothing: the transport cannot drop bytes that were written to it."""

    # Called by timers.

    @override
    def ping(self) -> None:
        """Send a ping and wait for its pong."""
        self.transport.write(PING)
        # Without a time limit for the pong, ping again after the interval, as uvicorn does.
        timeout = self._shared.pong_timer
        (timeout if timeout.runs else self._shared.ping_timer).start(self)

    # The opening handshake.

    def _receive_head(self, data: bytes) -> None:
        """Parse the request head, which uvicorn's HTTP classes render again to pass it on."""
        request = parse_head(data)
        status = refusal_of_size(
            len(data), len(request.target), len(request.headers)
        ) or refusal_of_parts(request.target, request.headers)
        if status is None:
            target = origin_form(request.target, request.headers)
            self.begin(request._replace(target=target), SocketAddresses.of(self.transport))
        else:
            self.deny(status, [NO_STORE], status.phrase.encode())

    def begin(self, request: RequestHead, addresses: SocketAddresses) -> None:
        """Check the request and run the application."""
        try:
            opening = self._opening = parse_opening(request)
        except BadHandshake as fault:
            self.deny(fault.status, [*fault.headers, NO_STORE], fault.status.phrase.encode())
            return
        shared = self._shared
        self._phase = Phase.DECIDING
        exchange = self._exchange = ASGIExchange(self)
        scope = shared.scope_of(opening, addresses)
        scope[BOUNDED] = True  # by `refusal_of_parts`, whichever class has read the head
        scope["extensions"][EXTENSION] = {"version": VERSION, "detach": exchange.detach}
        task = shared.loop.create_task(exchange.run(shared.app, scope))
        shared.tasks.add(task)
        task.add_done_callback(shared.tasks.discard)

    def _log(self, outcome: object) -> None:
        """Log the answer as uvicorn does, without the query string, which may hold a token."""
        if self._opening is not None and logger.isEnabledFor(logging.INFO):
            address = SocketAddresses.of(self.transport).client
            path = self._opening.target.partition(b"?")[0].decode("ascii", "replace")
            peer = f"{address[0]}:{address[1]}" if address else ""
            logger.info('%s - "WebSocket %s" %s', peer, path, outcome)

    # Messages.

    def _feed(self, data: bytes) -> None:
        """Keep received bytes for a reader, which is there only while they are not all read."""
        if self._reader is None:
            inflates = self.framing is not PLAIN_FRAMING
            self._reader = FrameReader(self._shared.max_message_bytes, inflates=inflates)
        self._reader.feed(data)

    def _read(self, allowed: int = 1) -> None:
        """Handle so many received messages, and then runs of them while there are places."""
        try:
            while self._reader is not None and (allowed or self._may_go_on(self._reader)):
                message = self._reader.read()
                if message is None:
                    self._time_rest_of_message(self._reader)
                    break
                self._receive(*message)
                if self._phase is Phase.ENDED:
                    return
                allowed = (allowed or MESSAGES_A_RUN) - 1
        except ProtocolViolation as fault:
            self._fail(fault.code, REASONS.get(fault.code, ""))
        except Exception:
            logger.exception(RECEIVER_FAILED)
            self._fail_application()
        if self._phase is Phase.OPEN and self._exchange and self._exchange.has_unread:
            self._pause_reading()

    def _may_go_on(self, reader: FrameReader) -> bool:
        """Return whether to read on; if there is no place for a run now, it is read later."""
        if reader.is_empty or self._shared.message_runs.take():
            return True
        if self._phase is Phase.CLOSING and self in self._shared.refusal_timer:
            self._reader = None  # nothing is kept of what a refused peer goes on to send
            self._linger()
            return False
        self._pause_reading()
        if self._exchange is None or not self._exchange.has_unread:
            self._shared.message_runs.submit(self._go_on)
        return False

    def _go_on(self) -> bool:
        """Read a run of messages; return whether there was anything to do."""
        if not self._is_reading_paused or self._phase is Phase.ENDED:
            return False
        self._resume_reading(MESSAGES_A_RUN)
        return True

    def _receive(self, opcode: int, payload: Frame) -> None:
        """Pass a message to the owner of the socket, or handle a control frame."""
        if opcode >= frames.CLOSE:
            self._receive_control(opcode, cast("bytes", payload))
        elif self._phase is not Phase.OPEN:
            return  # RFC 6455 section 1.4: after our close frame, data is discarded
        elif opcode == frames.CONTINUATION:
            return  # the rest of the message has yet to come
        elif self._receiver is not None:
            self._receiver.received(payload)
        elif self._exchange is not None:
            self._exchange.deliver(payload)

    def _time_rest_of_message(self, reader: FrameReader) -> None:
        """Bound the time in which the peer must finish a message that it began."""
        timer = self._shared.message_timer
        if reader.is_mid_message:
            timer.start(self)
        else:
            timer.stop(self)
            self._reader = None

    def _pause_reading(self) -> None:
        """Read nothing until `resume_reading`: TCP then slows the peer down."""
        if not self._is_reading_paused and self._phase is not Phase.ENDED:
            self._is_reading_paused = True
            if not self.transport.is_closing():
                self.transport.pause_reading()

    def _receive_control(self, opcode: int, payload: bytes) -> None:
        if opcode == frames.CLOSE:
            self._receive_close(payload)
        elif self._phase is not Phase.OPEN:
            return
        elif opcode == frames.PONG:
            # RFC 6455 section 5.5.3: any pong is a sign of life, but an unsolicited one costs work.
            if self._shared.pong_timer.stop(self):
                self._shared.ping_timer.start(self)
            elif self._receiver is not None:
                self._receiver.pinged(len(payload))
        elif self._receiver is None or not self._receiver.pinged(len(payload)):
            self._ping = payload
            self._answer_ping()

    def _answer_ping(self) -> None:
        """Answer the latest ping, which is all that RFC 6455 section 5.5.3 requires.

        While the peer does not read, its pong waits: unread pongs would pile up without bound.
        """
        if self._ping is not None and not self._is_full and self._phase is Phase.OPEN:
            ping, self._ping = self._ping, None
            self.transport.write(control_frame(frames.PONG, ping))


def _discard(_chunk: bytes) -> None:
    """Do nothing with a chunk that no peer is there to read."""
