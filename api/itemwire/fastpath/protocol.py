"""uvicorn's WebSocket class for sockets that are many, idle, and sent the same.

uvicorn loads it by import string: `--ws itemwire.fastpath.protocol:WebSocketProtocol`. It serves
any ASGI application as uvicorn's own class does, and offers the extension `itemwire.socket`: a
detached socket has no task, queue, request or headers left, only what is in `__slots__`, here and
in `ending.py`. No base may lack them: it would give every socket a `__dict__`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState
from websockets.frames import CloseCode

from itemwire.close_reasons import MESSAGE_TOO_BIG, PAYLOAD_INVALID
from itemwire.fastpath import frames
from itemwire.fastpath.ending import Ending, Phase
from itemwire.fastpath.exchange import Exchange
from itemwire.fastpath.extension import EXTENSION, VERSION, Receiver, Rendering
from itemwire.fastpath.frames import PLAIN_FRAMING, Fault, Reader, control_frame
from itemwire.fastpath.handshake import (
    NO_STORE,
    BadHandshake,
    Header,
    Opening,
    Request,
    accepted,
    denied,
    judge,
    judge_size,
    parse_head,
)
from itemwire.fastpath.surroundings import Ends, surroundings_of
from itemwire.messages import Frame

logger = logging.getLogger("uvicorn.error")

MESSAGES_A_TURN: Final = 64  # of one socket; then others get theirs

PING: Final = control_frame(frames.PING)
REASONS: Final[dict[int, str]] = {
    row.code: row.reason for row in (PAYLOAD_INVALID, MESSAGE_TOO_BIG)
}


class WebSocketProtocol(asyncio.Protocol, Ending):
    """One connection, from its upgrade request on; `Ending` has how it ends."""

    __slots__ = ("_is_full", "_opening", "_ping", "_reader", "framing")

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(surroundings_of(type(self), config, server_state, app_state))
        self._opening: Opening | None = None
        self._reader: Reader
        self._ping: bytes | None = None  # the latest, not answered yet
        self._is_full = False  # the transport has enough to write
        self.framing: Rendering = PLAIN_FRAMING

    # What asyncio calls.

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._around.connections.add(self)  # type: ignore[arg-type] # lists uvicorn's own

    @override
    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.HEAD:
            self._hear_head(data)
        elif self._phase is Phase.DECIDING:
            self._reader.feed(data)
            self._hold()
        elif self._phase is not Phase.ENDED:  # RFC 6455 section 7.1.7: discard what follows it
            self._reader.feed(data)
            if not self._is_held:
                self._read()

    @override
    def eof_received(self) -> None:
        """End: asyncio closes next, and may first wait for ever for a peer that does not read."""
        self._around.ending.start(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._phase is Phase.OPEN and self._exchange is not None:
            self._tell(CloseCode.NO_STATUS_RCVD)  # what uvicorn tells an application
        self._phase = Phase.ENDED
        self._around.connections.discard(self)
        self._around.forget(self)
        self._tell(CloseCode.ABNORMAL_CLOSURE)

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
        self._pong()
        if self._receiver is not None:
            self._receiver.writable()
        elif self._exchange is not None:
            self._exchange.go_on()

    # What the exchange with the application calls.

    @override
    def accept(self, headers: list[Header], subprotocol: str | None) -> None:
        if self._phase is not Phase.DECIDING or self._opening is None:
            return  # the peer is gone; the application will hear of it
        around = self._around
        answer, framing = accepted(
            self._opening,
            [*around.default_headers, *headers],
            subprotocol,
            deflates=around.config.ws_per_message_deflate,
        )
        self._log("[accepted]")
        self._opening = None
        self._phase = Phase.OPEN
        self.transport.write(answer)
        if framing is not PLAIN_FRAMING:
            self.framing = framing
            self._reader.inflates = True
        around.quiet.start(self)
        if around.is_stopping:
            around.loop.call_soon(self.shutdown)
        if self._is_held:
            # What the peer said too early is read in a moment: a refusal goes ahead of it.
            around.loop.call_soon(self.go_on)

    @override
    def deny(self, status: int, headers: list[Header], body: bytes) -> None:
        if self._phase in (Phase.HEAD, Phase.DECIDING):
            self._log(status)
            self.transport.write(denied(status, [*self._around.default_headers, *headers], body))
            self._linger()

    @override
    def go_on(self) -> None:
        if self._is_held and self._phase in (Phase.OPEN, Phase.CLOSING):
            self._is_held = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
            self._read()

    @override
    def take_receiver(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._exchange = None
        if self._is_full:
            receiver.paused()
        self.go_on()

    # What the application calls, through the exchange or as a detached socket's transport.

    @property
    @override
    def write(self) -> Callable[[bytes], object]:
        # uvloop raises where the connection is gone; who has the socket hears of it otherwise.
        return _drop if self._phase is Phase.ENDED else self.transport.write

    @override
    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    @override
    def discard(self) -> None:
        """Do nothing: what the transport has it cannot give back."""

    # What happens in time.

    @override
    def ping(self) -> None:
        """Ask for a sign of life."""
        self.transport.write(PING)
        # Without a time to answer in, uvicorn pings on.
        timeout = self._around.unanswered
        (timeout if timeout.runs else self._around.quiet).start(self)

    # The opening.

    def _hear_head(self, data: bytes) -> None:
        """Take the request as uvicorn's HTTP classes hand it on: written anew."""
        request = parse_head(data)
        status = judge_size(len(data), len(request.target), len(request.headers))
        if status is None:
            self.begin(request, Ends.of(self.transport))
        else:
            self.deny(status, [NO_STORE], status.phrase.encode())

    def begin(self, request: Request, ends: Ends) -> None:
        """Judge the request, and ask the application."""
        try:
            opening = self._opening = judge(request)
        except BadHandshake as fault:
            self.deny(fault.status, [*fault.headers, NO_STORE], fault.status.phrase.encode())
            return
        around = self._around
        self._phase = Phase.DECIDING
        self._reader = Reader(around.config.ws_max_size)
        exchange = self._exchange = Exchange(self)
        scope = around.scope_of(opening, ends)
        scope["extensions"][EXTENSION] = {"version": VERSION, "detach": exchange.detach}
        task = around.loop.create_task(exchange.run(around.app, scope))
        around.tasks.add(task)
        task.add_done_callback(around.tasks.discard)

    def _log(self, outcome: object) -> None:
        """Log the answer as uvicorn does, but for the query: that is where a token may be."""
        if self._opening is not None and logger.isEnabledFor(logging.INFO):
            address = get_remote_addr(self.transport)
            path = self._opening.target.partition(b"?")[0].decode("ascii", "replace")
            peer = f"{address[0]}:{address[1]}" if address else ""
            logger.info('%s - "WebSocket %s" %s', peer, path, outcome)

    # The conversation.

    def _read(self) -> None:
        """Act on what has come, so many messages at a time that other sockets get their turn."""
        try:
            for _ in range(MESSAGES_A_TURN):
                message = self._reader.read()
                if message is None:
                    self._watch_for_the_rest()
                    break
                self._act(*message)
                if self._phase is Phase.ENDED:
                    return
            else:
                self._hold()
                if self._exchange is None or not self._exchange.has_unread:
                    self._around.loop.call_soon(self.go_on)
        except Fault as fault:
            self._fail(fault.code, REASONS.get(fault.code, ""))
        except Exception:
            logger.exception("Exception in the receiver of a detached WebSocket\n")
            self._fail_application()
        if self._phase is Phase.OPEN and self._exchange and self._exchange.has_unread:
            self._hold()

    def _act(self, opcode: int, payload: Frame) -> None:
        """Pass a message on, to whoever has the socket, or obey a control frame."""
        if opcode >= frames.CLOSE:
            self._control(opcode, cast("bytes", payload))
        elif self._phase is not Phase.OPEN:
            return  # ours is closing: RFC 6455 section 1.4 lets the peer's last words go by
        elif self._receiver is not None:
            self._receiver.received(payload)
        elif self._exchange is not None:
            self._exchange.deliver(payload)

    def _watch_for_the_rest(self) -> None:
        """See that a message which was begun is finished."""
        halfway = self._around.halfway
        if self._reader.is_halfway:
            halfway.start(self)
        else:
            halfway.stop(self)

    def _hold(self) -> None:
        """Read no more until `go_on`."""
        if not self._is_held and self._phase is not Phase.ENDED:
            self._is_held = True
            if not self.transport.is_closing():
                self.transport.pause_reading()

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == frames.CLOSE:
            self._hear_close(payload)
        elif self._phase is not Phase.OPEN:
            return
        elif opcode == frames.PONG:
            if self._around.unanswered.stop(self):
                self._around.quiet.start(self)
            elif self._receiver is not None:
                self._receiver.pinged(len(payload))
        elif self._receiver is None or not self._receiver.pinged(len(payload)):
            self._ping = payload
            self._pong()

    def _pong(self) -> None:
        """Answer the latest ping, all that RFC 6455 section 5.5.2 asks for.

        Who does not read gets no pong before it does: unread ones would be kept without bound.
        """
        if self._ping is not None and not self._is_full and self._phase is Phase.OPEN:
            ping, self._ping = self._ping, None
            self.transport.write(control_frame(frames.PONG, ping))


def _drop(_chunk: bytes) -> None:
    """Take what nobody is there to read."""
