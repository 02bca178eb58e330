"""What every connection does with the events of its socket, and those on channels too."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from msgspec import UNSET, UnsetType
from typing_extensions import override

from itemwire.channels.connection import LEAVING, Connection
from itemwire.channels.delivery.bounded_buffer import BoundedBuffer
from itemwire.channels.host import Host
from itemwire.channels.limits.connections import ConnectionSlot
from itemwire.channels.limits.requests import NEVER, RequestKind, RequestRates
from itemwire.channels.node import Node
from itemwire.channels.sessions.context import Command
from itemwire.channels.welcome import hello_to
from itemwire.close_reasons import (
    CLOSE_REASONS,
    INTERNAL,
    MESSAGE_TOO_BIG,
    OVERLOADED,
    RATE_LIMITED,
)
from itemwire.messages import Error, Frame, Ref, frame_size
from itemwire.wire.base import MalformedFrame
from itemwire_auth.principal import Principal

logger = logging.getLogger("itemwire.channels")


C = TypeVar("C", bound=Command[Any])  # each kind of session has commands that run on it alone


class Session(ABC):
    """What one connection does, as the transport that holds its socket calls it.

    The transport calls `opened` once, `received` for each message, `pinged` for each ping that it
    sees, `paused` when it has enough to send and `writable` when it takes more again, and `closed`
    once, at the end. None of them waits.
    """

    __slots__ = ("connection", "node", "slot")

    def __init__(self, node: Node, connection: Connection) -> None:
        self.connection = connection
        self.node = node
        self.slot: ConnectionSlot | None = None  # released once the socket is gone

    def opened(self) -> None:  # noqa: B027 - not every session has something to do
        """Begin; the transport takes frames from here on."""

    def received(self, frame: Frame) -> None:
        """Act on one message of the client."""
        if self.connection.phase >= LEAVING:
            return
        try:
            is_narrow = type(frame) is bytes or frame.isascii()
            size = len(frame) if is_narrow else frame_size(frame)
            if size > self.node.limits.max_message_bytes:
                self.connection.end(MESSAGE_TOO_BIG)
            else:
                self._act(frame, size)
        except Exception:
            # A fault that one client's message finds must not end the connections of others.
            logger.exception("session_failed connection=%s", self.connection.id)
            self.connection.end(INTERNAL)

    def pinged(self, size: int) -> bool:
        """Return whether a protocol ping is past its rate and so is not to be answered.

        A client that goes on regardless is closed.
        """
        rates = self.node.rates
        if rates is None or self.connection.phase >= LEAVING:
            return False
        wait = rates.spend(self.connection, RequestKind.OTHER, size)
        if wait == NEVER:
            self.connection.end(RATE_LIMITED)
        return wait > 0

    def paused(self) -> None:
        """Send no more for now: the transport has enough."""
        self.connection.paused()

    def writable(self) -> None:
        """Go on sending: the transport takes frames again."""
        self.connection.writable()

    def ending(self, code: int, reason: str) -> None:  # noqa: ARG002 - the reason has its code
        """Tell the client what to do next: the server is about to close for this reason."""
        row = CLOSE_REASONS.get(reason)
        if row is not None:
            self.connection.end(row)

    def gone(self) -> None:
        """Write nothing more: the socket is gone, and many others with it."""
        self.connection.gone()

    def closed(self, code: int) -> None:
        """Leave: the socket is gone."""
        self.connection.lost(code)
        if self.slot is not None:
            self.slot.release()
        logger.debug("closed connection=%s code=%d", self.connection.id, code)

    @contextmanager
    def _failing_alone(self) -> Generator[None]:
        """End this connection, and no other, if what it does with a late answer fails.

        A client whose request is half done would wait for ever for it to be answered.
        """
        try:
            yield
        except Exception:
            logger.exception("session_failed connection=%s", self.connection.id)
            self.connection.end(INTERNAL)

    @abstractmethod
    def _act(self, frame: Frame, size: int) -> None:
        """Do what a frame of so many bytes asks for."""


class ChannelSession(Session, Generic[C]):
    """A connection that is on channels, and runs the commands that its client sends."""

    __slots__ = ("_decode", "_early", "host", "is_refreshing")

    def __init__(self, node: Node, connection: Connection, decode: Callable[[Frame], C]) -> None:
        super().__init__(node, connection)
        self.host: Host | None = None  # set by the route where an application has a word in this
        self.is_refreshing = False
        self._decode = decode
        # Frames that came before it can act, and when.
        self._early: BoundedBuffer[tuple[Frame, float]] | None = None

    def _greet(self, max_items: int | UnsetType = UNSET) -> None:
        """Tell a client that asked for hints that it is connected, before all else."""
        if self.connection.gives_hints:
            hello = hello_to(
                self.connection,
                self.node.environment.now_in_ms(),
                self.node.limits,
                max_items=max_items,
                heartbeat=self.node.heartbeats.period_of(self.connection) or UNSET,
            )
            self.connection.send(hello)

    @abstractmethod
    def _run(self, command: C, size: int) -> None:
        """Run a command that came in a frame of so many bytes."""

    @override
    def _act(self, frame: Frame, size: int) -> None:
        if self._early is not None:
            if not self._early.offer((frame, self.node.answers.now), size):
                self.connection.end(OVERLOADED)
            return
        rates = self.node.rates
        try:
            command = self._decode(frame)
        except MalformedFrame as fault:
            if rates is None or not self._is_past_rate(rates, RequestKind.OTHER, fault.ref, size):
                error = Error(fault.code, temporary=False, detail=str(fault), ref=fault.ref)
                self.connection.send(error)
            return
        kind = command.kind
        if rates is None or rates.is_free[kind]:
            self._run(command, size)
            return
        if not self._is_past_rate(rates, kind, command.ref, size):
            self._run(command, size)

    def _is_past_rate(
        self,
        rates: RequestRates,
        kind: RequestKind,
        ref: Ref | UnsetType,
        size: int,
        item: str | UnsetType = UNSET,
    ) -> bool:
        """Return whether a request is past its rate; its client is then told, or closed."""
        wait = rates.spend(self.connection, kind, size)
        if wait:
            detail = "This is more than the server takes in this time; slow down."
            self.slow_down(wait, ref, detail, item)
        return wait > 0

    def slow_down(
        self, wait: float, ref: Ref | UnsetType, detail: str, item: str | UnsetType = UNSET
    ) -> None:
        """Tell the client how long to wait, or close it if it cannot be told or does not listen.

        The `item` is named where one request is about several.
        """
        if wait == NEVER or not self.connection.codec.has_envelopes:
            self.connection.end(RATE_LIMITED)
        else:
            error = Error(
                RATE_LIMITED.reason,
                temporary=True,
                detail=detail,
                ref=ref,
                item=item,
                retry_after_ms=math.ceil(wait * 1000),
            )
            self.connection.send(error)

    def _keep_confirmed(self, principal: Principal) -> None:
        """Take over what was found out about the caller, who may stay."""
        if self.node.rechecks is not None:
            self.node.rechecks.confirm(self.connection, principal)

    def _names_another(self, principal: Principal | None) -> bool:
        """Return whether a new token is of another caller, and log it if so."""
        ours = self.connection.principal
        if principal is None or principal.identity == ours.identity:
            return False
        logger.warning(
            "refresh_of_another connection=%s subject=%r",
            self.connection.id,
            ours.subject,
        )
        return True
