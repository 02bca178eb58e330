"""What one connection with many items does: it joins and leaves them as its client asks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgspec import UNSET, UnsetType
from typing_extensions import override

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.bounded_buffer import BoundedBuffer
from itemwire.channels.delivery.recovery import Start
from itemwire.channels.names import channel_of
from itemwire.channels.node import Node
from itemwire.channels.reauthorization import Denied, Renewal, Rights, Verdict
from itemwire.channels.rights import rights_of
from itemwire.channels.sessions.commands import DECODERS_OF_MANY, Command
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
from itemwire.messages import Ended, Error, Frame, Ref, RefreshReply
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action

JOINS_AT_ONCE: Final = 8  # worked out side by side; a refresh waits for them, and they for it


@dataclass(frozen=True, slots=True)
class _Entry:
    """An item that is being joined, and what its client asks of it meanwhile."""

    start: Start
    ref: Ref | UnsetType
    early: BoundedBuffer[Command["ManyItemsSession"]]


class ManyItemsSession(ChannelSession):
    """Hears the items its client joins, each by the rights its caller has on that one."""

    __slots__ = ("_decode", "_entering", "_rights", "_turns")

    def __init__(self, node: Node, connection: Connection, rights: Rights) -> None:
        super().__init__(node, connection)
        self._decode = DECODERS_OF_MANY[connection.codec]
        self._rights = rights
        self._entering: dict[str, _Entry] = {}
        self._turns = OrderedGate(JOINS_AT_ONCE)

    @override
    def opened(self) -> None:
        self.connection.is_welcomed = True  # by no envelope: the first answers the first request

    @override
    def _act(self, frame: Frame, size: int) -> None:
        command = self._read(self._decode, frame, size)
        if command is None or self._is_too_fast(command.kind, command.ref, size):
            return
        entry = None if command.item is UNSET else self._entering.get(command.item)
        if entry is None:
            command.run(self)
        elif not entry.early.keep(command, size):
            self.connection.end(OVERLOADED)

    @override
    def find(self, item: str | UnsetType) -> Subscription | None:
        if item is UNSET:
            return None
        return self.connection.subscriptions.get(channel_of(item))

    def join(self, item_id: str, start: Start, ref: Ref | UnsetType) -> None:
        """Hear one item more, if the caller may; what is asked of it waits until that is known."""
        if self.find(item_id) is not None:
            self._deny(item_id, ref, "already_joined", "Leave the item before joining it again.")
        elif self._count() >= self._node.limits.items:
            detail = f"A socket hears at most {self._node.limits.items} items; leave one first."
            self._deny(item_id, ref, "item_limit", detail)
        else:
            entry = _Entry(start, ref, BoundedBuffer(self._node.limits.outbox_bytes))
            self._entering[item_id] = entry
            self._turns.ask(partial(self._authorize, item_id, entry))

    @property
    @override
    def can_refresh(self) -> bool:
        return True

    @override
    def refresh(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        self.is_refreshing = True
        self._turns.ask(partial(self._renew, token, answer), alone=True)

    @override
    def renewed(self, ref: Ref | UnsetType) -> RefreshReply:
        heard = self.connection.subscriptions.values()
        items = {one.item_id: rights_of(one.can) for one in heard}
        return RefreshReply(ref, expires_at=self.connection.expires_at, items=items)

    def _count(self) -> int:
        """Count the items that are heard, and those that are on the way."""
        return len(self.connection.subscriptions.keys() | map(channel_of, self._entering))

    def _authorize(self, item_id: str, entry: _Entry) -> None:
        def worked_out(verdict: Verdict) -> None:
            if self.connection.is_open:
                self._enter(item_id, entry, verdict)
            self._turns.done()

        if self.connection.is_open:
            self._rights.of_item(self.connection.principal, item_id, worked_out)
        else:
            self._turns.done()

    def _enter(self, item_id: str, entry: _Entry, verdict: Verdict) -> None:
        if isinstance(verdict, Denied):
            self._not_joined(item_id, verdict.reason)
        elif not self._fits(verdict, item_id):
            self._not_joined(item_id, FORBIDDEN)
        elif entry.start.replay and not verdict.allows(Action.HISTORY):
            self._not_joined(item_id, SCOPE_MISSING)
        else:
            subscription = Subscription(self.connection, verdict)
            joined = partial(self._joined, subscription)
            self._node.join(subscription, entry.start, joined, entry.ref)

    def _fits(self, grant: Grant, item_id: str) -> bool:
        """Tell whether a grant lets this caller hear this item; an override may give any."""
        return (
            grant.item_id == item_id
            and grant.principal.identity == self.connection.principal.identity
            and grant.allows(Action.SUBSCRIBE)
        )

    def _joined(self, subscription: Subscription, problem: EngineError | None) -> None:
        if problem is None:
            self._run_early(self._entering.pop(subscription.item_id))
        else:
            self._node.leave(subscription)
            self._not_joined(subscription.item_id, OVERLOADED)

    def _not_joined(self, item_id: str, reason: CloseReason) -> None:
        entry = self._entering.pop(item_id)
        temporary = Denied(reason).is_temporary
        self._deny(item_id, entry.ref, reason.reason, reason.meaning, temporary=temporary)
        self._run_early(entry)

    def _run_early(self, entry: _Entry) -> None:
        """Act on what came before the join was through."""
        for command in entry.early.release():
            if self.connection.is_open:
                command.run(self)

    def _deny(
        self,
        item_id: str,
        ref: Ref | UnsetType,
        code: str,
        detail: str,
        *,
        temporary: bool = False,
    ) -> None:
        self.send(Error(code, temporary=temporary, detail=detail, ref=ref, item=item_id))

    def _renew(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        def worked_out(outcome: Renewal | Denied) -> None:
            self.is_refreshing = False
            if self.connection.is_open:
                answer(self._apply(outcome))
            self._turns.done()

        items = [one.item_id for one in self.connection.subscriptions.values()]
        self._rights.renew(token, items, worked_out)

    def _apply(self, outcome: Renewal | Denied) -> Denied | None:
        """Take over a new token and its rights, all of them or none; tell why not."""
        # First: what somebody else may not do is no reason to end this connection.
        if self._names_another(outcome.principal):
            return Denied(CREDENTIALS_INVALID, outcome.principal)
        if isinstance(outcome, Denied):
            if outcome.is_final:
                self.connection.end(outcome.reason)
            return outcome
        for verdict in outcome.verdicts.values():
            if isinstance(verdict, Denied) and not verdict.is_final:
                return verdict
        denied = self._node.renew(self.connection, outcome.principal)
        if denied is None:
            for item_id, verdict in outcome.verdicts.items():
                self._change_rights(item_id, verdict)
        return denied

    def _change_rights(self, item_id: str, verdict: Verdict) -> None:
        subscription = self.find(item_id)
        if subscription is None:
            return
        if isinstance(verdict, Grant) and self._fits(verdict, item_id):
            self._node.change_rights(subscription, verdict.can)
        else:
            self._drop(subscription, verdict.reason if isinstance(verdict, Denied) else FORBIDDEN)

    def _drop(self, subscription: Subscription, reason: CloseReason) -> None:
        """Hear an item no longer: the caller may not any more."""
        subscription.can = frozenset()  # also for answers that are still on their way
        self._node.leave(subscription)
        if subscription.item_id in self._entering:
            self._not_joined(subscription.item_id, reason)
        else:
            self.send(Ended(subscription.item_id, reason.reason, reason.retry))
