"""What a connection with one item does: it joins the item, and acts on what its client sends."""

from collections.abc import Callable

from msgspec import UnsetType
from typing_extensions import override

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.bounded_buffer import BoundedBuffer
from itemwire.channels.delivery.recovery import LIVE, Start
from itemwire.channels.node import Node
from itemwire.channels.reauthorization import Denied, Reauthorize, Verdict
from itemwire.channels.rights import rights_of
from itemwire.channels.sessions.commands import DECODERS
from itemwire.channels.sessions.session import ChannelSession
from itemwire.close_reasons import CREDENTIALS_INVALID, FORBIDDEN, OVERLOADED
from itemwire.engines.base import EngineError
from itemwire.messages import Frame, Ref, RefreshReply
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action


class ItemSession(ChannelSession):
    """Hears one item's channel and publishes to it.

    With `reauthorize` its client may offer a newer token in mid-connection.
    """

    __slots__ = ("_decode", "_early", "_reauthorize", "_start", "subscription")

    def __init__(
        self,
        node: Node,
        connection: Connection,
        grant: Grant,
        start: Start = LIVE,
        reauthorize: Reauthorize | None = None,
    ) -> None:
        super().__init__(node, connection)
        self._decode = DECODERS[connection.codec]
        self.subscription = Subscription(connection, grant)
        self._start = start
        self._early: BoundedBuffer[Frame] | None = BoundedBuffer(node.limits.outbox_bytes)
        # A codec without words for it cannot ask: nothing is kept for it.
        self._reauthorize = reauthorize if connection.codec.has_envelopes else None

    @override
    def opened(self) -> None:
        self._node.join(self.subscription, self._start, self._joined)

    def _joined(self, problem: EngineError | None) -> None:
        """Act on what came before the welcome: the engine may take its time over a join."""
        if problem is not None:
            self.connection.end(OVERLOADED)
        early, self._early = self._early, None
        for frame in early.release() if early else ():
            self.received(frame)

    @override
    def _act(self, frame: Frame, size: int) -> None:
        if self._early is None:
            command = self._read(self._decode, frame, size)
            if command is not None and not self._is_too_fast(command.kind, command.ref, size):
                command.run(self)
        elif not self._early.keep(frame, size):
            self.connection.end(OVERLOADED)

    @override
    def find(self, item: str | UnsetType) -> Subscription:
        return self.subscription

    @property
    @override
    def can_refresh(self) -> bool:
        return self._reauthorize is not None

    @override
    def refresh(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        def worked_out(verdict: Verdict) -> None:
            self.is_refreshing = False
            if self.connection.is_open:
                answer(self._apply(verdict))

        if self._reauthorize is not None:
            self.is_refreshing = True
            self._reauthorize(token, worked_out)

    @override
    def renewed(self, ref: Ref | UnsetType) -> RefreshReply:
        can = rights_of(self.subscription.can)
        return RefreshReply(ref, expires_at=self.connection.expires_at, can=can)

    def _apply(self, verdict: Verdict) -> Denied | None:
        # First: what somebody else may not do is no reason to end this connection.
        if self._names_another(verdict.principal):
            return Denied(CREDENTIALS_INVALID, verdict.principal)
        if isinstance(verdict, Grant):
            if verdict.allows(Action.SUBSCRIBE) and verdict.item_id == self.subscription.item_id:
                denied = self._node.renew(self.connection, verdict.principal)
                if denied is None:
                    self._node.change_rights(self.subscription, verdict.can)
                return denied
            verdict = Denied(FORBIDDEN, verdict.principal)
        if verdict.is_final:
            self.connection.end(verdict.reason)
        return verdict
