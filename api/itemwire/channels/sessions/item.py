"""What a connection with one item does: it joins, then runs its client's commands."""

from collections.abc import Callable

from msgspec import UnsetType
from typing_extensions import override

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.bounded_buffer import BoundedBuffer
from itemwire.channels.delivery.recovery import LIVE, StartPoint
from itemwire.channels.node import Node
from itemwire.channels.reauthorization import Denied, Reauthorize, Verdict
from itemwire.channels.rights import rights_of
from itemwire.channels.sessions.commands import DECODERS
from itemwire.channels.sessions.context import Command, Context
from itemwire.channels.sessions.item_recheck import ItemRecheck
from itemwire.channels.sessions.session import ChannelSession
from itemwire.close_reasons import CREDENTIALS_INVALID, FORBIDDEN
from itemwire.engines.base import EngineError
from itemwire.messages import Ref, RefreshReply
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action


class ItemSession(ChannelSession[Command[Context]]):
    """A connection on one item's channel.

    With `reauthorize` its client may offer a newer token while the connection lasts.
    """

    __slots__ = ("_reauthorize", "_start", "subscription")

    def __init__(
        self,
        node: Node,
        connection: Connection,
        grant: Grant,
        start: StartPoint = LIVE,
        reauthorize: Reauthorize | None = None,
    ) -> None:
        super().__init__(node, connection, DECODERS[connection.codec])
        self.subscription = Subscription(connection, grant)
        self._start = start
        # The engine may take its time over a join; frames that come before the welcome wait.
        self._early = BoundedBuffer(node.limits.outbox_bytes)
        ItemRecheck.begin(node, self.subscription, reauthorize)
        # A codec without envelopes has no word to ask for a refresh with.
        self._reauthorize = reauthorize if connection.codec.has_envelopes else None

    @override
    def opened(self) -> None:
        self._greet()
        start, self._start = self._start, LIVE  # it is not needed again
        self.node.join(self.subscription, start, self._joined)

    def _joined(self, problem: EngineError | None) -> None:
        if problem is not None:
            self.connection.end(problem.fault.refusal)
        early, self._early = self._early, None
        for frame, came_at in early.take_all() if early else ():
            with self.node.answers.counting_from(came_at):
                self.received(frame)

    @override
    def _run(self, command: Command[Context], size: int) -> None:
        command.run(self, self.subscription)

    @property
    def can_refresh(self) -> bool:
        """Return whether the rights can be worked out again here."""
        return self._reauthorize is not None

    def refresh(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        """Replace the token by another of the same caller; answer None, or why it was refused.

        Until the answer everything goes on with the old token. If the caller may no longer be
        here, the connection ends; any other fault of the new token changes nothing.
        """

        def worked_out(verdict: Verdict) -> None:
            self.is_refreshing = False
            if self.connection.is_open:
                with self._failing_alone():
                    answer(self._apply(verdict))

        if self._reauthorize is not None:
            self.is_refreshing = True
            self._reauthorize(token, worked_out)

    def refreshed(self, ref: Ref | UnsetType) -> RefreshReply:
        """Return the reply to a refresh: the new expiry and rights."""
        can = rights_of(self.subscription.can)
        one = self.connection
        return RefreshReply(ref, expires_at=one.expiry, can=can, server_time=one.server_time)

    def _apply(self, verdict: Verdict) -> Denied | None:
        # First: what another caller may not do is no reason to end this connection.
        if self._names_another(verdict.principal):
            return Denied(CREDENTIALS_INVALID, verdict.principal)
        if isinstance(verdict, Grant):
            identity = self.connection.principal.identity
            if verdict.fits(self.subscription.item_id, identity, Action.SUBSCRIBE):
                denied = self.node.renew(self.connection, verdict.principal)
                if denied is None:
                    self.node.change_rights(self.subscription, verdict)
                return denied
            verdict = Denied(FORBIDDEN, verdict.principal)
        if verdict.is_final:
            self.connection.end(verdict.reason)
        return verdict
