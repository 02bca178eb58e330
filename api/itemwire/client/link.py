"""One connection, from its open socket to its end: its frames and its requests."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from itemwire.client.clock import ClientClock
from itemwire.client.emitter import logger
from itemwire.client.endings import Ending, verdict_of
from itemwire.client.envelopes import EnvelopeForm, Incoming, form_of
from itemwire.client.errors import LATER, NEVER, NotConnected, Refused
from itemwire.client.liveness import Liveness
from itemwire.client.options import ClientLimits
from itemwire.client.sockets import ClientSocket, SocketClosed
from itemwire.messages import frame_size

MAX_BYTES: Final = 65_536
"""The size of a frame that a server takes, where it has not said another one yet."""

LIST_OF_JOINS: Final = 100
"""Items in one `join`, where the server says no other number."""


class LinkListener(Protocol):
    """Who is told what a connection receives, one frame after the other."""

    def received_frame(self, frame: str | bytes) -> None:
        """Take note of a frame as it came."""
        ...

    def received(self, link: "Link", incoming: Incoming) -> None:
        """Act on an envelope that answers no request."""
        ...

    def proven(self, link: "Link") -> None:
        """Take note that the server has accepted this connection, and speaks our protocol."""
        ...

    def failed(self, error: Exception) -> None:
        """Take note of a frame that could not be read."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request without its answer."""

    answer: "asyncio.Future[Incoming]"
    apply: Callable[[Incoming], None] | None


class Link:
    """A connection with a number: nothing of an earlier one reaches a later one."""

    def __init__(
        self,
        socket: ClientSocket,
        clock: ClientClock,
        options: ClientLimits,
        listener: LinkListener,
        refs: "itertools.count[int]",
    ) -> None:
        self._socket = socket
        self._form = form_of(socket.subprotocol)
        self._clock = clock
        self._listener = listener
        self._refs = refs  # counted over all connections: no late answer meets another request
        self._asked: dict[int, _Asked] = {}
        self._outgoing: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._closing: Ending | None = None
        self._liveness = Liveness(
            clock, options.silence, options.timeout, ask=self._ping, report=self._give_up
        )
        self.hello: Incoming | None = None
        self.max_bytes = MAX_BYTES
        self.is_proven = False
        self.opened_at = clock.monotonic()

    @property
    def form(self) -> EnvelopeForm:
        """Return the form of the envelopes here."""
        return self._form

    @property
    def is_over(self) -> bool:
        """Return whether it has ended, though its socket may still be closing."""
        return self._over.done()

    @property
    def list_size(self) -> int:
        """Return how many items a `join` may name; 1 for a server that knows no lists."""
        return 1 if self.hello is None else min(self.hello.max_items or LIST_OF_JOINS, 100)

    async def run(self) -> Ending:
        """Serve until the connection ends, and say how it did."""
        tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())]
        self._liveness.probe()  # a server that says no hello proves itself by its answer
        try:
            return await asyncio.shield(self._over)
        finally:
            self._liveness.stop()
            for task in tasks:
                task.cancel()
            self._fail_requests()
            with suppress(SocketClosed, OSError):
                await self._socket.close()

    def probe(self) -> None:
        """Find out soon whether the server is still there."""
        if not self._over.done():
            self._liveness.probe()

    def end(self, ending: Ending) -> None:
        """End it from this side; the first reason counts."""
        if not self._over.done():
            self._over.set_result(ending)

    def send(self, fields: Mapping[str, object]) -> int:
        """Send a request, and return its `ref`; its answer goes to the listener.

        Raises `Refused` for one that is too big: the server would close the connection for it.
        """
        ref = next(self._refs)
        frame = self._form.write({"ref": ref, **fields})
        if frame_size(frame) > self.max_bytes:
            raise Refused("message_too_big", detail=f"more than {self.max_bytes} bytes")
        self._outgoing.put_nowait(frame)
        return ref

    def start(
        self, fields: Mapping[str, object], apply: Callable[[Incoming], None] | None = None
    ) -> "asyncio.Future[Incoming]":
        """Send a request, and return its coming answer, which is applied in its place.

        It fails with `Refused`, and with `NotConnected` if the connection ends first.
        """
        answer: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_look_at)
        if self._over.done():
            answer.set_exception(NotConnected("the connection is over"))
            return answer
        ref = self.send(fields)
        self._asked[ref] = _Asked(answer, apply)
        answer.add_done_callback(lambda _: self._asked.pop(ref, None))
        return answer

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._socket.receive())
        except SocketClosed as closed:
            self.end(self._closing or Ending.of_close(closed.code, closed.reason))
        except OSError as error:
            self.end(Ending.lost(str(error)))
        except Exception as error:  # noqa: BLE001 - whatever a frame does, the client goes on
            logger.exception("a frame could not be taken, so the connection is made anew")
            self.end(Ending.lost(str(error)))

    async def _write(self) -> None:
        try:
            while True:
                await self._socket.send(await self._outgoing.get())
        except SocketClosed:
            pass  # why it ended is what is read last
        except Exception as error:  # noqa: BLE001 - of the socket, and the client goes on
            self.end(Ending.lost(str(error)))

    def _take(self, frame: str | bytes) -> None:
        if self._over.done():
            return
        self._liveness.heard()
        self._listener.received_frame(frame)
        try:
            incoming = self._form.read(frame)
        except ValueError as error:
            self._listener.failed(error)
            return
        self._dispatch(incoming)

    def _dispatch(self, incoming: Incoming) -> None:
        if incoming.max_message_bytes is not None and incoming.max_message_bytes > 0:
            self.max_bytes = incoming.max_message_bytes
        match incoming.type:
            case "reply" | "pong":
                self._answered(incoming)
            case "closing":
                self._closing = _ending_of(incoming)
                return  # an expired caller is told so by a server that never said hello
            case "error" if isinstance(incoming.ref, int) and incoming.ref in self._asked:
                self._answered(incoming)
            case "hello":
                self.hello = incoming
            case _:
                self._listener.received(self, incoming)
        if not self.is_proven and incoming.type != "error":
            self.is_proven = True
            self._listener.proven(self)

    def _answered(self, incoming: Incoming) -> None:
        asked = self._asked.get(incoming.ref) if isinstance(incoming.ref, int) else None
        if asked is None or asked.answer.done():
            return  # too late, or nothing that was asked
        if incoming.type == "error":
            asked.answer.set_exception(refusal_of(incoming))
            return
        if asked.apply is not None:
            asked.apply(incoming)
        asked.answer.set_result(incoming)

    def _ping(self) -> None:
        self.send({"type": "ping"})

    def _give_up(self) -> None:
        self._socket.abort()
        self.end(Ending.lost("the server gave no sign of life"))

    def _fail_requests(self) -> None:
        for asked in list(self._asked.values()):
            if not asked.answer.done():
                asked.answer.set_exception(NotConnected("the connection ended before the answer"))


def _look_at(answer: "asyncio.Future[Incoming]") -> None:
    """Look at a failure, also where whoever asked was cancelled."""
    if not answer.cancelled():
        answer.exception()


def _ending_of(closing: Incoming) -> Ending:
    code = closing.code if isinstance(closing.code, int) else 1006
    verdict = verdict_of(closing.retry, closing.reason)
    named = Ending.of_close(code, closing.reason)
    return Ending(closing.reason, verdict, code, closing.retry_after_ms / 1000, named.detail)


def refusal_of(error: Incoming) -> Refused:
    """Return an `error` envelope as an exception; servers without hints say only `temporary`."""
    return Refused(
        str(error.code),
        retry=error.retry or (LATER if error.temporary else NEVER),
        detail=error.detail,
        retry_after=error.retry_after_ms / 1000,
    )
