"""What a connection with many items does: it joins and leaves them as its client asks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgspec import UNSET, UnsetType
from typing_extensions import override

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.bounded_buffer import BoundedBuffer
from itemwire.channels.delivery.recovery import StartPoint
from itemwire.channels.names import channel_of
from itemwire.channels.node import Node
from itemwire.channels.reauthorization import Denied, Renewal, Rights, Verdict
from itemwire.channels.rights import rights_of
from itemwire.channels.sessions.commands import DECODERS_OF_MANY
from itemwire.channels.sessions.context import Command, ManyItemsContext
from itemwire.channels.sessions.ordered_gate import OrderedGate
from itemwire.channels.sessions.session import ChannelSession
from itemwire.close_reasons import (
    CREDENTIALS_INVALID,
    FORBIDDEN,
    OVERLOADED,
    SCOPE_MISSING,
    CloseReason,
)
from itemwire.engines.base import EngineError
from itemwire.messages import Error, ItemEnded, Ref, RefreshReply
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action

# Authorized side by side. A refresh waits for all of them, and they for it: a join that was
# authorized by the old token must not be applied after the new one.
JOINS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class _Joining:
    """An item that is being joined, and the commands about it that came meanwhile."""

    start: StartPoint
    ref: Ref | UnsetType
    early: BoundedBuffer[Command[ManyItemsContext]]


class ManyItemsSession(ChannelSession[Command[ManyItemsContext]]):
    """A connection on the channels of the items that its client joins.

    The caller's rights are worked out for each of the items. Commands about an item that is being
    joined wait until it is joined or refused; commands about other items do not.
    """

    __slots__ = ("_gate", "_joining", "_rights")

    def __init__(self, node: Node, connection: Connection, rights: Rights) -> None:
        super().__init__(node, connection, DECODERS_OF_MANY[connection.codec])
        self._rights = rights
        self._joining: dict[str, _Joining] = {}  # by item id
        self._gate = OrderedGate(JOINS_AT_ONCE)

    @override
    def opened(self) -> None:
        # There is no envelope that welcomes it: the first one answers the first request.
        self.connection.mark_welcomed()

    @override
    def _run(self, command: Command[ManyItemsContext], size: int) -> None:
        item = command.item
        if item is UNSET:
            command.run(self, None)
            return
        joining = self._joining.get(item)
        if joining is None:
            command.run(self, self._find(item))
        elif not joining.early.offer(command, size):
            self.connection.end(OVERLOADED)

    def _find(self, item_id: str) -> Subscription | None:
        return self.connection.subscriptions.get(channel_of(item_id))

    def join(self, item_id: str, start: StartPoint, ref: Ref | UnsetType) -> None:
        """Join one more item, if its caller may; commands about it wait until that is known."""
        if self._find(item_id) is not None:
            self._deny(item_id, ref, "already_joined", "Leave the item before joining it again.")
        elif self._count() >= self.node.limits.max_items:
            detail = f"A socket hears at most {self.node.limits.max_items} items; leave one first."
            self._deny(item_id, ref, "item_limit", detail)
        else:
            joining = _Joining(start, ref, BoundedBuffer(self.node.limits.outbox_bytes))
            self._joining[item_id] = joining
            self._gate.submit(partial(self._authorize, item_id, joining))

    @property
    def can_refresh(self) -> bool:
        """Return True: the rights can always be worked out again here."""
        return True

    def refresh(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        """Continue with another token of the same caller; answer why not, or None.

        Until the answer everything goes on with the old token. If the caller may no longer be
        here, the connection ends; any other fault of the new token changes nothing. Items that the
        new token does not allow are left.
        """
        self.is_refreshing = True
        self._gate.submit(partial(self._renew, token, answer), exclusive=True)

    def refreshed(self, ref: Ref | UnsetType) -> RefreshReply:
        """Return the reply to a refresh: the new expiry, and the rights by item."""
        subscriptions = self.connection.subscriptions.values()
        items = {one.item_id: rights_of(one.can) for one in subscriptions}
        return RefreshReply(ref, expires_at=self.connection.expires_at, items=items)

    def _count(self) -> int:
        """Return the number of items that are joined or being joined."""
        return len(self.connection.subscriptions.keys() | map(channel_of, self._joining))

    def _authorize(self, item_id: str, joining: _Joining) -> None:
        def worked_out(verdict: Verdict) -> None:
            if self.connection.is_open:
                self._enter(item_id, joining, verdict)
            self._gate.done()

        if self.connection.is_open:
            self._rights.of_item(self.connection.principal, item_id, worked_out)
        else:
            self._gate.done()

    def _enter(self, item_id: str, joining: _Joining, verdict: Verdict) -> None:
        if isinstance(verdict, Denied):
            self._refuse(item_id, verdict.reason)
        elif not self._fits(verdict, item_id):
            self._refuse(item_id, FORBIDDEN)
        elif joining.start.replay and not verdict.allows(Action.HISTORY):
            self._refuse(item_id, SCOPE_MISSING)
        else:
            subscription = Subscription(self.connection, verdict)
            joined = partial(self._joined, subscription)
            self.node.join(subscription, joining.start, joined, joining.ref)

    def _fits(self, grant: Grant, item_id: str) -> bool:
        """Return whether a grant lets this caller join this item."""
        return grant.fits(item_id, self.connection.principal.identity, Action.SUBSCRIBE)

    def _joined(self, subscription: Subscription, problem: EngineError | None) -> None:
        if problem is None:
            self._run_early(self._joining.pop(subscription.item_id))
        else:
            self.node.leave(subscription)
            self._refuse(subscription.item_id, OVERLOADED)

    def _refuse(self, item_id: str, reason: CloseReason) -> None:
        """Answer a join that was not done, then run the commands that waited for it."""
        joining = self._joining.pop(item_id)
        temporary = Denied(reason).is_temporary
        self._deny(item_id, joining.ref, reason.reason, reason.meaning, temporary=temporary)
        self._run_early(joining)

    def _run_early(self, joining: _Joining) -> None:
        for command in joining.early.take_all():
            if self.connection.is_open:
                item = command.item
                command.run(self, None if item is UNSET else self._find(item))

    def _deny(
        self,
        item_id: str,
        ref: Ref | UnsetType,
        code: str,
        detail: str,
        *,
        temporary: bool = False,
    ) -> None:
        error = Error(code, temporary=temporary, detail=detail, ref=ref, item=item_id)
        self.connection.send(error)

    def _renew(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        def worked_out(outcome: Renewal | Denied) -> None:
            self.is_refreshing = False
            if self.connection.is_open:
                answer(self._apply(outcome))
            self._gate.done()

        items = [one.item_id for one in self.connection.subscriptions.values()]
        self._rights.renew(token, items, worked_out)

    def _apply(self, outcome: Renewal | Denied) -> Denied | None:
        """Apply a new token and its rights, all of them or none; return why not, or None."""
        # First: what another caller may not do is no reason to end this connection.
        if self._names_another(outcome.principal):
            return Denied(CREDENTIALS_INVALID, outcome.principal)
        if isinstance(outcome, Denied):
            if outcome.is_final:
                self.connection.end(outcome.reason)
            return outcome
        for verdict in outcome.verdicts.values():
            if isinstance(verdict, Denied) and not verdict.is_final:
                return verdict
        denied = self.node.renew(self.connection, outcome.principal)
        if denied is None:
            for item_id, verdict in outcome.verdicts.items():
                self._change_rights(item_id, verdict)
        return denied

    def _change_rights(self, item_id: str, verdict: Verdict) -> None:
        subscription = self._find(item_id)
        if subscription is None:
            return
        if isinstance(verdict, Grant) and self._fits(verdict, item_id):
            self.node.change_rights(subscription, verdict.can)
        else:
            reason = verdict.reason if isinstance(verdict, Denied) else FORBIDDEN
            self._expel(subscription, reason)

    def _expel(self, subscription: Subscription, reason: CloseReason) -> None:
        """Take its client off an item that the caller may not hear any more."""
        subscription.can = frozenset()  # also for answers that are still on their way
        self.node.leave(subscription)
        if subscription.item_id in self._joining:
            self._refuse(subscription.item_id, reason)
        else:
            self.connection.send(ItemEnded(subscription.item_id, reason.reason, reason.retry))
