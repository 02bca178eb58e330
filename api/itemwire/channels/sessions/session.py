"""What one connection does with each frame, from join to leave."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from msgspec import UnsetType

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.in_flight import InFlight, TooManyInFlight, share_of
from itemwire.channels.limits.connections import ConnectionSlot
from itemwire.channels.limits.requests import NEVER, Kind
from itemwire.channels.node import Node
from itemwire.channels.presence.presence import Page
from itemwire.channels.reauthorization import Denied
from itemwire.close_reasons import (
    CLOSE_REASONS,
    INTERNAL,
    MESSAGE_TOO_BIG,
    RATE_LIMITED,
    SCOPE_MISSING,
)
from itemwire.engines.base import Answer, EngineError, History, Span
from itemwire.messages import (
    Error,
    Event,
    Frame,
    Payload,
    Position,
    Ref,
    RefreshReply,
    frame_size,
    payload_size,
)
from itemwire.wire.base import C, MalformedFrame
from itemwire_auth.principal import Principal
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")


class Session(ABC):
    """A connection's conduct, driven by whatever holds its socket.

    The holder calls `opened` once, `received` for each message, `pinged` for each ping if it hears
    of them, `paused` and `writable` as its transport has enough and takes more again, and `closed`
    once, at the end. None of them waits.
    """

    __slots__ = ("_node", "connection", "slot")

    def __init__(self, node: Node, connection: Connection) -> None:
        self.connection = connection
        self.slot: ConnectionSlot | None = None  # which it gives back when its socket is gone
        self._node = node

    def opened(self) -> None:  # noqa: B027 - not every session has something to do
        """Begin; the transport takes frames from here on."""

    def received(self, frame: Frame) -> None:
        """Act on one message of the client."""
        if not self.connection.is_heard:
            return
        try:
            size = frame_size(frame)
            if size > self._node.limits.max_message_bytes:
                self.connection.end(MESSAGE_TOO_BIG)
            else:
                self._act(frame, size)
        except Exception:
            # One client's message must not take down its neighbours.
            logger.exception("session_failed connection=%s", self.connection.id)
            self.connection.end(INTERNAL)

    def pinged(self, size: int) -> bool:
        """Tell whether a ping of the protocol comes too often; one that goes on is sent away."""
        rates = self._node.rates
        if rates is None or not self.connection.is_heard:
            return False
        wait = rates.spend(self.connection, Kind.OTHER, size)
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

    def closed(self, code: int) -> None:
        """Leave: the socket is gone."""
        if self.connection.is_open:
            self._node.connection_log.gone(self.connection, code)
        self.connection.lost(code)
        if self.slot is not None:
            self.slot.release()
        logger.debug("closed connection=%s code=%d", self.connection.id, code)

    @abstractmethod
    def _act(self, frame: Frame, size: int) -> None:
        """Do what the frame asks, which is of so many bytes."""


class ChannelSession(Session):
    """Hears channels, and does what its client asks."""

    __slots__ = ("_unanswered", "is_refreshing")

    def __init__(self, node: Node, connection: Connection) -> None:
        super().__init__(node, connection)
        self.is_refreshing = False
        self._unanswered: InFlight | None = None  # most connections publish nothing

    @property
    @abstractmethod
    def can_refresh(self) -> bool:
        """Tell whether rights can be worked out again here."""

    @abstractmethod
    def find(self, item: str | UnsetType) -> Subscription | None:
        """Find what a request is about, by the item it names."""

    @abstractmethod
    def refresh(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        """Go on with another token of the same caller; answer why not, or None.

        Until the answer, everything goes on with the token there is. A caller who may no longer
        be here is sent away; any other fault of the token changes nothing.
        """

    @abstractmethod
    def renewed(self, ref: Ref | UnsetType) -> RefreshReply:
        """Say until when the connection may stay now, and what may be done on it."""

    def send(self, event: Event) -> None:
        """Answer the client."""
        self.connection.send(event)

    def publish(
        self, subscription: Subscription, data: Payload, key: str | None, answer: Answer[Position]
    ) -> None:
        """Publish to an item in the client's name, with a fair share of what may be unanswered."""
        counted = self._bounded(data, answer) if self._node.may_fall_behind else answer
        if counted is None:
            answer(TooManyInFlight("this connection has too many messages unanswered"))
        else:
            publisher = self.connection.principal
            self._node.publish(publisher, subscription.item_id, data, key, counted)

    def _bounded(self, data: Payload, answer: Answer[Position]) -> Answer[Position] | None:
        if self._unanswered is None:
            share = share_of(self._node.limits, self.connection.id)
            self._unanswered = self.connection.unanswered = share
        return self._unanswered.count(payload_size(data), answer)

    def history(self, subscription: Subscription, span: Span, answer: Answer[History]) -> None:
        """Read a part of an item's history."""
        self._node.history(subscription.item_id, span, answer)

    def members(self, subscription: Subscription, limit: int, after: str) -> Page:
        """List so many of those who are on an item."""
        return self._node.members(subscription.item_id, limit, after)

    def leave(self, subscription: Subscription) -> None:
        """Hear an item no longer."""
        self._node.leave(subscription)

    def failed(self, problem: EngineError) -> None:
        """Log that the engine could not do what this client asked."""
        if isinstance(problem, TooManyInFlight):
            return  # a line for each of a flood; that the engine is behind has its own
        logger.error("engine_failed connection=%s problem=%s", self.connection.id, problem)

    def lacks(self, subscription: Subscription, action: Action) -> None:
        """Log that this client asked for what it may not do."""
        logger.warning(
            "denied connection=%s channel=%s action=%s reason=%s",
            self.connection.id,
            subscription.channel,
            action,
            SCOPE_MISSING.reason,
        )

    def not_refreshed(self, denied: Denied) -> None:
        """Count and log a token that was not accepted; `auth` has logged which check failed."""
        self._node.counters.refreshes["refused"] += 1
        reason = denied.reason.reason
        logger.warning("not_refreshed connection=%s reason=%s", self.connection.id, reason)

    def _read(self, decode: Callable[[Frame], C], frame: Frame, size: int) -> C | None:
        """Read a frame; the client is told if it is no request."""
        try:
            return decode(frame)
        except MalformedFrame as fault:
            if not self._is_too_fast(Kind.OTHER, fault.ref, size):
                self.send(Error(fault.code, temporary=False, detail=str(fault), ref=fault.ref))
            return None

    def _is_too_fast(self, kind: Kind, ref: Ref | UnsetType, size: int) -> bool:
        """Tell whether a request is past its rate; the client is told then, or sent away."""
        rates = self._node.rates
        if rates is None:
            return False
        wait = rates.spend(self.connection, kind, size)
        if not wait:
            return False
        if wait == NEVER or not self.connection.codec.has_envelopes:
            self.connection.end(RATE_LIMITED)
        else:
            detail = "This is more than the server takes in this time; slow down."
            after = math.ceil(wait * 1000)
            told = Error(
                RATE_LIMITED.reason, temporary=True, detail=detail, ref=ref, retry_after_ms=after
            )
            self.send(told)
        return True

    def _names_another(self, principal: Principal | None) -> bool:
        """Tell whether a new token is somebody else's, and log it if so."""
        ours = self.connection.principal
        if principal is None or principal.identity == ours.identity:
            return False
        logger.warning(
            "refresh_of_another connection=%s subject=%r",
            self.connection.id,
            ours.subject,
        )
        return True
