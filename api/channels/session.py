"""What one connection does with each frame, from join to leave."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from typing_extensions import override

from api.channels.commands import DECODERS, Send
from api.channels.connection import Connection, Subscription
from api.channels.holding import Holding
from api.channels.node import Node
from api.channels.refreshing import Denied, Reauthorize, Verdict
from api.closing import CREDENTIALS_INVALID, FORBIDDEN, INTERNAL, MESSAGE_TOO_BIG, OVERLOADED
from api.engines.base import Answer, EngineError, History, Span
from api.messages import Error, Event, Frame, Member, Payload, Position, frame_size
from api.wire.base import MalformedFrame
from auth.principal import Grant
from auth.scopes import Action

logger = logging.getLogger("itemwire.channels")


class Session(ABC):
    """A connection's conduct, driven by whatever holds its socket.

    The holder calls `opened` once, `received` for each message, `paused` and `writable` as its
    transport has enough and takes more again, and `closed` once, at the end. None of them waits.
    """

    __slots__ = ("_node", "connection")

    def __init__(self, node: Node, connection: Connection) -> None:
        self.connection = connection
        self._node = node

    def opened(self) -> None:  # noqa: B027 - not every session has something to do
        """Begin; the transport takes frames from here on."""

    def received(self, frame: Frame) -> None:
        """Act on one message of the client."""
        if not self.connection.is_open:
            return
        try:
            if frame_size(frame) > self._node.limits.max_message_bytes:
                self.connection.end(MESSAGE_TOO_BIG)
            else:
                self._act(frame)
        except Exception:
            # One client's message must not take down its neighbours.
            logger.exception("session_failed connection=%s", self.connection.id)
            self.connection.end(INTERNAL)

    def paused(self) -> None:
        """Send no more for now: the transport has enough."""
        self.connection.paused()

    def writable(self) -> None:
        """Go on sending: the transport takes frames again."""
        self.connection.writable()

    def closed(self, code: int) -> None:
        """Leave: the socket is gone."""
        self.connection.lost()
        logger.debug("closed connection=%s code=%d", self.connection.id, code)

    @abstractmethod
    def _act(self, frame: Frame) -> None:
        """Do what the frame asks."""


class EchoSession(Session):
    """Sends back every message as it came."""

    __slots__ = ()

    @override
    def _act(self, frame: Frame) -> None:
        self.connection.push(frame)


class ItemSession(Session):
    """Hears one item's channel and publishes to it.

    With `reauthorize` its client may offer a newer token in mid-connection.
    """

    __slots__ = ("_decode", "_early", "_reauthorize", "_replay", "is_refreshing", "subscription")

    def __init__(
        self,
        node: Node,
        connection: Connection,
        grant: Grant,
        replay: int,
        reauthorize: Reauthorize | None = None,
    ) -> None:
        super().__init__(node, connection)
        self.subscription = Subscription(connection, grant)
        self._replay = replay
        self._decode = DECODERS[connection.codec]
        self._early: Holding[Frame] | None = Holding(node.limits.outbox_bytes)
        # A codec without words for it cannot ask: nothing is kept for it.
        self._reauthorize = None if self._decode is Send else reauthorize
        self.is_refreshing = False

    @override
    def opened(self) -> None:
        self._node.join(self.subscription, self._replay, self._joined)

    def _joined(self) -> None:
        """Act on what came before the welcome: the engine may take its time over a join."""
        early, self._early = self._early, None
        for frame in early.release() if early else ():
            self.received(frame)

    @override
    def _act(self, frame: Frame) -> None:
        if self._early is None:
            self._run(frame)
        elif not self._early.keep(frame, frame_size(frame)):
            self.connection.end(OVERLOADED)

    def _run(self, frame: Frame) -> None:
        try:
            command = self._decode(frame)
        except MalformedFrame as fault:
            self.send(Error(fault.code, temporary=False, detail=str(fault), ref=fault.ref))
        else:
            command.run(self)

    def send(self, event: Event) -> None:
        """Answer the client."""
        self.connection.send(event)

    def publish(self, data: Payload, key: str | None, answer: Answer[Position]) -> None:
        """Publish to the item in the client's name."""
        self._node.publish(self.subscription, data, key, answer)

    def history(self, span: Span, answer: Answer[History]) -> None:
        """Read a part of the item's history."""
        self._node.history(self.subscription.channel, span, answer)

    def members(self) -> list[Member]:
        """List who is on the item."""
        return self._node.members(self.subscription.channel)

    @property
    def can_refresh(self) -> bool:
        """Tell whether rights can be worked out again here."""
        return self._reauthorize is not None

    def refresh(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        """Go on with another token of the same caller; answer why not, or None.

        Until the answer, everything goes on with the token there is. A caller who may no longer
        be here is sent away; any other fault of the token changes nothing.
        """

        def worked_out(verdict: Verdict) -> None:
            self.is_refreshing = False
            if self.connection.is_open:
                answer(self._apply(verdict))

        if self._reauthorize is not None:
            self.is_refreshing = True
            self._reauthorize(token, worked_out)

    def _apply(self, verdict: Verdict) -> Denied | None:
        ours, theirs = self.connection.principal, verdict.principal
        # First: what somebody else may not do is no reason to end this connection.
        if theirs is not None and theirs.identity != ours.identity:
            logger.warning(
                "refresh_refused connection=%s subject=%r: the token names another caller",
                self.connection.id,
                ours.subject,
            )
            return Denied(CREDENTIALS_INVALID, theirs)
        if isinstance(verdict, Grant):
            if verdict.allows(Action.SUBSCRIBE) and verdict.item_id == self.subscription.item_id:
                return self._node.renew(self.subscription, verdict)
            verdict = Denied(FORBIDDEN, theirs)
        if verdict.is_final:
            self.connection.end(verdict.reason)
        return verdict

    def failed(self, problem: EngineError) -> None:
        """Log that the engine could not do what this client asked."""
        logger.error("engine_failed connection=%s problem=%s", self.connection.id, problem)
