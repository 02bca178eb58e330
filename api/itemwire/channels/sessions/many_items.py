"""What a connection with many items does: it joins and leaves them as its client asks."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgspec import UNSET, UnsetType
from typing_extensions import override

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.bounded_buffer import MAX_HELD
from itemwire.channels.delivery.recovery import LIVE, StartPoint
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.names import channel_of
from itemwire.channels.node import Node
from itemwire.channels.reauthorization import Denied, ItemRights, Renewal, Verdict
from itemwire.channels.rights import rights_of
from itemwire.channels.sessions.commands import DECODERS_OF_MANY
from itemwire.channels.sessions.context import Command, ManyItemsContext
from itemwire.channels.sessions.ordered_gate import OrderedGate, Turn
from itemwire.channels.sessions.replay_queue import ReplayQueue
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
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action

# Authorized side by side. A refresh waits for all of them, and they for it: a join that was
# authorized by the old token must not be applied after the new one.
JOINS_AT_ONCE: Final = 8


Held = deque[tuple[Command[ManyItemsContext], int, float]]
"""Commands that wait, each with the size of its frame and when it came."""


@dataclass(slots=True)
class _Joining:
    """An item that is being joined, and the commands about it that came meanwhile.

    `_joining` of the session has it from the request until the answer. In between it waits for a
    turn at the gate, for the verdict on its caller's rights, if it begins in the past for the
    replays before it, and for the engine.
    """

    start: StartPoint
    ref: Ref | UnsetType
    due: float  # when it is to be answered, however long it waits for its turn
    early: Held | None = None  # from the first one on
    early_size: int = 0
    is_replaying: bool = False
    began_at: float = 0.0  # its rights being known, from when on the engine is waited for

    def hold(self, command: Command[ManyItemsContext], size: int, came_at: float) -> None:
        """Keep a command until the item is joined or refused."""
        if self.early is None:
            self.early = deque()
        self.early.append((command, size, came_at))
        self.early_size += size


class ManyItemsSession(ChannelSession[Command[ManyItemsContext]]):
    """A connection on the channels of the items that its client joins.

    The caller's rights are worked out for each of the items. Commands about an item that is being
    joined wait until it is joined or refused; commands about other items do not. So commands about
    one item run in the order in which they came, and the last one decides.
    """

    __slots__ = ("_gate", "_joining", "_replays", "_rights")

    def __init__(self, node: Node, connection: Connection, rights: ItemRights) -> None:
        super().__init__(node, connection, DECODERS_OF_MANY[connection.codec])
        self._rights = rights
        self._joining: dict[str, _Joining] = {}  # by item id
        self._gate = OrderedGate(JOINS_AT_ONCE)
        self._replays: ReplayQueue | None = None  # from the first join on that has one

    @override
    def opened(self) -> None:
        # Without hints no envelope welcomes it: the first one answers the first request.
        self.connection.mark_welcomed()
        self._greet(self.node.limits.max_items)
        if self.node.rechecks is not None:
            self.node.rechecks.watch(self.connection, self.recheck)

    @override
    def writable(self) -> None:
        super().writable()
        if self._replays is not None:
            with self._failing_alone():
                self._replays.proceed()

    @override
    def closed(self, code: int) -> None:
        super().closed(code)
        self._joining.clear()

    @override
    def _run(self, command: Command[ManyItemsContext], size: int) -> None:
        self.submit(command, size)

    def submit(self, command: Command[ManyItemsContext], size: int) -> None:
        """Run a command of so many bytes, now or once the join of its item is answered."""
        item = command.item
        if item is UNSET:
            command.run(self, None)
            return
        joining = self._joining.get(item)
        if joining is None:
            command.run(self, self._find(item))
        elif self._has_room(size):
            joining.hold(command, size, self.node.answers.now)
        else:
            self.connection.end(OVERLOADED)

    def _has_room(self, size: int) -> bool:
        """Return whether one more early command may be held, of all items together."""
        joining = self._joining.values()
        held = sum(len(one.early) for one in joining if one.early is not None)
        room = self.node.limits.outbox_bytes - sum(one.early_size for one in joining)
        return size <= room and held < MAX_HELD

    def _find(self, item_id: str) -> Subscription | None:
        return self.connection.subscriptions.get(channel_of(item_id))

    def join(
        self, item_id: str, start: StartPoint, ref: Ref | UnsetType, *, is_listed: bool = False
    ) -> None:
        """Join one more item, if its caller may; commands about it wait until that is known.

        Whatever answers the join of a list names the item.
        """
        named = item_id if is_listed else UNSET
        if self._find(item_id) is not None:
            self._deny(item_id, ref, "already_joined", "Leave the item before joining it again.")
        elif self._count() >= self.node.limits.max_items:
            detail = f"A socket hears at most {self.node.limits.max_items} items; leave one first."
            self._deny(item_id, ref, "item_limit", detail)
        elif start == LIVE or not self._is_past_history_rate(ref, named):
            joining = self._joining[item_id] = _Joining(start, ref, self._rights.due())
            self._gate.submit(partial(self._authorize, item_id, joining))

    @property
    def can_refresh(self) -> bool:
        """Return True: the rights can always be worked out again here."""
        return True

    def refresh(self, token: str, answer: Callable[[Denied | None], None]) -> None:
        """Replace the token by another of the same caller; answer None, or why it was refused.

        Until the answer, the old token stays in force. If the caller may not be connected any more,
        the connection ends; any other fault of the new token changes nothing. Items that the new
        token does not allow are left.
        """
        self.is_refreshing = True
        self._gate.submit(partial(self._renew, token, self._rights.due(), answer), exclusive=True)

    def recheck(self, answer: Callable[[bool], None]) -> None:
        """Work all rights out again; leave what the caller may not have any more, or end.

        Answers whether that is unknown for now.
        """
        self._gate.submit(partial(self._recheck, self._rights.due(), answer), exclusive=True)

    def refreshed(self, ref: Ref | UnsetType) -> RefreshReply:
        """Return the reply to a refresh: the new expiry, and the rights by item."""
        subscriptions = self.connection.subscriptions.values()
        items = {one.item_id: rights_of(one.can) for one in subscriptions}
        one = self.connection
        return RefreshReply(ref, expires_at=one.expiry, items=items, server_time=one.server_time)

    def _count(self) -> int:
        """Return the number of items that are joined or being joined."""
        return len(self.connection.subscriptions.keys() | map(channel_of, self._joining))

    def _is_past_history_rate(self, ref: Ref | UnsetType, item: str | UnsetType) -> bool:
        """Return whether a join that begins in the past is one too many; its client is told."""
        rates = self.node.rates
        return rates is not None and self._is_past_rate(rates, RequestKind.HISTORY, ref, 0, item)

    def _authorize(self, item_id: str, joining: _Joining, turn: Turn) -> None:
        principal = self.connection.principal

        def worked_out(verdict: Verdict) -> None:
            with self._failing_alone(), turn:
                if self.connection.is_open:
                    self._enter(item_id, joining, principal, verdict)

        if self.connection.is_open:
            self._rights.of_item(principal, item_id, joining.due, worked_out)
        else:
            turn.end()

    def _enter(
        self, item_id: str, joining: _Joining, principal: Principal, verdict: Verdict
    ) -> None:
        if isinstance(verdict, Denied):
            self._refuse(item_id, verdict.reason)
        elif not self._fits(verdict, item_id):
            self._refuse(item_id, FORBIDDEN)
        elif joining.start.replay and not verdict.allows(Action.HISTORY):
            is_of_token = principal.rights.is_of_token
            self._refuse(item_id, SCOPE_MISSING if is_of_token else FORBIDDEN)
        elif joining.start == LIVE:
            self._put_on(joining, verdict)
        else:
            if self._replays is None:
                self._replays = ReplayQueue(self.connection)
            self._replays.submit(partial(self._replay, item_id, joining, principal, verdict))

    def _replay(self, item_id: str, joining: _Joining, principal: Principal, grant: Grant) -> None:
        """Put a client on an item whose past it wants, now that it has read what came before."""
        joining.is_replaying = True
        if self.connection.principal is principal:
            self._put_on(joining, grant)
        else:  # refreshed meanwhile: the old token gives no right any more
            self._end_replay(joining)
            joining.due = self._rights.due()
            self._gate.submit(partial(self._authorize, item_id, joining))

    def _put_on(self, joining: _Joining, grant: Grant) -> None:
        subscription = Subscription(self.connection, grant)
        joining.began_at = self.node.answers.now
        joined = partial(self._joined, subscription)
        self.node.join(subscription, joining.start, joined, joining.ref)

    def _fits(self, grant: Grant, item_id: str) -> bool:
        """Return whether a grant lets this caller join this item."""
        return grant.fits(item_id, self.connection.principal.identity, Action.SUBSCRIBE)

    def _joined(self, subscription: Subscription, problem: EngineError | None) -> None:
        with self._failing_alone():
            if problem is None:
                self._finish(subscription.item_id, self._joining.pop(subscription.item_id))
            else:
                self.node.leave(subscription)
                self._refuse(subscription.item_id, problem.fault.refusal)

    def _refuse(self, item_id: str, reason: CloseReason) -> None:
        """Answer a join that was not done, then run the commands that waited for it."""
        joining = self._joining.pop(item_id)
        self._deny(
            item_id,
            joining.ref,
            reason.reason,
            reason.meaning,
            temporary=reason.is_temporary,
            retry=self.connection.advice_on(reason),
        )
        self._finish(item_id, joining)

    def _finish(self, item_id: str, joining: _Joining) -> None:
        """Run the commands that waited for a join, then begin the replay that waited for it."""
        self._run_early(item_id, joining)
        self._end_replay(joining)

    def _run_early(self, item_id: str, joining: _Joining) -> None:
        early, size = joining.early, joining.early_size
        while early and self.connection.is_open:
            again = self._joining.get(item_id)
            if again is not None:  # one of them has joined the item anew: the rest waits for that
                again.early, again.early_size = early, size
                return
            command, taken, came_at = early.popleft()
            size -= taken
            with self.node.answers.counting_from(max(came_at, joining.began_at)):
                command.run(self, self._find(item_id))

    def _end_replay(self, joining: _Joining) -> None:
        if joining.is_replaying and self._replays is not None:
            joining.is_replaying = False
            self._replays.done()

    def _deny(
        self,
        item_id: str,
        ref: Ref | UnsetType,
        code: str,
        detail: str,
        *,
        temporary: bool = False,
        retry: str | UnsetType = UNSET,
    ) -> None:
        error = Error(code, temporary=temporary, detail=detail, ref=ref, item=item_id, retry=retry)
        self.connection.send(error)

    def _renew(
        self, token: str, due: float, answer: Callable[[Denied | None], None], turn: Turn
    ) -> None:
        def worked_out(outcome: Renewal | Denied) -> None:
            with self._failing_alone(), turn:
                self.is_refreshing = False
                if self.connection.is_open:
                    answer(self._apply(outcome))

        if self.connection.is_open:
            items = [one.item_id for one in self.connection.subscriptions.values()]
            self._rights.renew(token, items, due, worked_out)
        else:
            turn.end()

    def _recheck(self, due: float, answer: Callable[[bool], None], turn: Turn) -> None:
        def worked_out(outcome: Renewal | Denied) -> None:
            with self._failing_alone(), turn:
                if self.connection.is_open:
                    self._confirm(outcome)
            verdicts = outcome.verdicts.values() if isinstance(outcome, Renewal) else [outcome]
            answer(any(isinstance(one, Denied) and one.is_temporary for one in verdicts))

        if self.connection.is_open:
            items = [one.item_id for one in self.connection.subscriptions.values()]
            self._rights.renew(self.connection.principal, items, due, worked_out)
        else:
            turn.end()
            answer(False)

    def _confirm(self, outcome: Renewal | Denied) -> None:
        if isinstance(outcome, Denied):
            if not outcome.is_temporary:
                self.connection.end(outcome.reason)
            return
        if outcome.principal.identity != self.connection.principal.identity:
            self.connection.end(CREDENTIALS_INVALID)
            return
        self._keep_confirmed(outcome.principal)
        for item_id, verdict in outcome.verdicts.items():
            if not (isinstance(verdict, Denied) and verdict.is_temporary):
                self._change_rights(item_id, verdict)

    def _apply(self, outcome: Renewal | Denied) -> Denied | None:
        """Apply a new token and its rights, all or none; return None, or why it was refused."""
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
            outcome.keep()
            for item_id, verdict in outcome.verdicts.items():
                self._change_rights(item_id, verdict)
        return denied

    def _change_rights(self, item_id: str, verdict: Verdict) -> None:
        subscription = self._find(item_id)
        if subscription is None:
            return
        if isinstance(verdict, Grant) and self._fits(verdict, item_id):
            self.node.change_rights(subscription, verdict)
        else:
            reason = verdict.reason if isinstance(verdict, Denied) else FORBIDDEN
            self._expel(subscription, reason)

    def _expel(self, subscription: Subscription, reason: CloseReason) -> None:
        """Make the client leave an item that it may not subscribe to any more."""
        subscription.can = frozenset()  # also for answers that are still on their way
        self.node.leave(subscription)
        if subscription.item_id in self._joining:
            self._refuse(subscription.item_id, reason)
        else:
            self.connection.send(ItemEnded(subscription.item_id, reason.reason, reason.retry))
