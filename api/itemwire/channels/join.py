"""How a subscription joins and leaves its channel: held, welcomed, live, gone."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from msgspec import UNSET, UnsetType

from itemwire.channels.connection import Subscription
from itemwire.channels.connection_log import ConnectionLog
from itemwire.channels.delivery.recovery import (
    LIVE,
    Recovery,
    StartPoint,
    first_offset,
    resumes,
)
from itemwire.channels.delivery.resume import ResumeProofs
from itemwire.channels.hub import Hub
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.limits.item_rules import RulesOf, no_rules
from itemwire.channels.presence.presence import Presence
from itemwire.channels.timely_answers import TimelyAnswers
from itemwire.channels.welcome import welcome_to
from itemwire.counters import ChannelCounters
from itemwire.engines.base import Engine, EngineError, History, Span
from itemwire.messages import Position, Publication, Ref, Welcome
from itemwire_auth.principal import Identity
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")

FIRST_PAGE: Final = 100  # members in a welcome, and in a list that is not asked for another size

Joined = Callable[[EngineError | None], None]
"""Called once the client is welcomed, or with why it cannot be."""


@dataclass(frozen=True, slots=True)
class ChannelParts:
    """The parts of a node that a subscription has to do with when it joins or leaves."""

    engine: Engine
    answers: TimelyAnswers
    hub: Hub
    presence: Presence
    counters: ChannelCounters
    clock: Callable[[], float]
    watch_members: Callable[[str], None]  # of a channel, on other nodes
    unhear: Callable[[str], None]  # a channel that nobody hears here any more
    find_moved: Callable[[str, Identity, Callable[[], None]], None]  # before a caller is a member
    proofs: ResumeProofs
    log: ConnectionLog
    rules_of: RulesOf = no_rules


def begin_join(
    parts: ChannelParts,
    limits: Limits,
    subscription: Subscription,
    start: StartPoint,
    joined: Joined,
    *,
    ref: Ref | UnsetType = UNSET,
) -> None:
    """Put a subscription on its channel: it gets `welcome`, what it missed, then the live.

    `joined` is called once the client is welcomed, or with why it cannot be, perhaps before this
    returns; it is not called at all if the client leaves meanwhile.
    """
    _Join(parts, limits, subscription, start, joined, ref=ref).begin()


def leave(parts: ChannelParts, subscription: Subscription, *, may_return: bool) -> None:
    """Take a subscription off its channel, and tell the others that its member left.

    With `may_return` they are told only if the member does not come back within its grace time.
    """
    channel, member = subscription.channel, subscription.member
    connection = subscription.connection
    parts.counters.subscriptions -= 1
    is_unheard = parts.hub.remove(subscription)
    is_anonymous = connection.principal.is_anonymous
    if is_anonymous:
        was_member = False
    elif may_return:
        caller = connection.principal.identity
        was_member = parts.presence.mark_away(channel, caller, member, parts.clock())
    else:
        was_member = parts.presence.leave(channel, member)
    if is_unheard:
        parts.unhear(channel)
    if was_member:
        logger.debug(
            "left channel=%s subject=%r connection=%s member=%s may_return=%s",
            channel,
            member.subject,
            connection.id,
            member.connection,
            may_return,
        )
    if was_member or (
        subscription.has_joined
        and (is_anonymous or parts.rules_of(subscription.item_id).presence == "off")
    ):
        parts.log.left(subscription.item_id, member)


class _Join:
    """One subscription from the request to join until it is live.

    Hold, then read: the hub keeps what is published from the first step on, and only then is the
    history read. So every message is in the history or was kept, and none falls in between. If the
    client leaves meanwhile, the next answer of the engine finds the subscription gone, and stops.
    All steps together have one deadline; what the engine answers after it is not heeded.
    """

    __slots__ = (
        "_deadline",
        "_has_members",
        "_is_over",
        "_is_proven",
        "_joined",
        "_limits",
        "_parts",
        "_recovery",
        "_ref",
        "_rules",
        "_start",
        "_subscription",
    )

    def __init__(
        self,
        parts: ChannelParts,
        limits: Limits,
        subscription: Subscription,
        start: StartPoint,
        joined: Joined,
        *,
        ref: Ref | UnsetType,
    ) -> None:
        self._parts = parts
        self._limits = limits
        self._subscription = subscription
        self._start = start
        self._joined = joined
        self._deadline: Joined | None = None  # not of an engine that answers at once
        self._is_over = False
        self._ref = ref
        self._rules = parts.rules_of(subscription.item_id)
        caller = subscription.connection.principal
        self._has_members = self._rules.presence != "off" and not caller.is_anonymous
        self._recovery = Recovery(limits.outbox_bytes)
        self._is_proven = self._has_proof()

    def begin(self) -> None:
        """Hold the subscription, and have the engine deliver its channel to this node."""
        parts, subscription = self._parts, self._subscription
        if not parts.hub.add(subscription, self._recovery, self._limits):
            self._fail(
                EngineError("this node, or this channel on it, is at its limit of listeners")
            )
            return
        subscription.connection.subscriptions[subscription.channel] = subscription
        parts.counters.subscriptions += 1
        if not parts.engine.answers_at_once:
            self._deadline = parts.answers.limit(self._expire)
        parts.engine.subscribe(subscription.channel, self._subscribed)

    def _subscribed(self, problem: EngineError | None) -> None:
        """Read the history, now that nothing that comes after it can be missed."""
        since = self._start.since
        if problem is None and self._has_members and self._subscription.is_current:
            self._parts.watch_members(self._subscription.channel)
        if problem is not None:
            self._have_read(problem)
        elif since is None:
            self._read(Span(self._start.replay), self._replay)
        elif not self._may_resume():
            self._read(Span(0), self._have_read)  # only to learn where the stream stands
        else:
            self._read(Span(self._most_read, since.offset), partial(self._resume, since))

    def _resume(self, since: Position, history: History | EngineError) -> None:
        if isinstance(history, EngineError):
            self._have_read(history)
        elif self._may_resume() and resumes(since, history):
            self._have_read(history, recovered=True)
        elif self._start.replay or self._rules.retain:
            self._read(Span(self._start.replay), self._replay)
        else:  # a part of what was missed would look like all of it
            self._have_read(replace(history, publications=[]))

    def _replay(self, history: History | EngineError) -> None:
        """Begin with the last messages, unless a refresh took the right away meanwhile."""
        may_read = Action.HISTORY in self._subscription.can
        if isinstance(history, History) and history.publications and not may_read:
            history = replace(history, publications=[])
        self._have_read(history)

    @property
    def _most_read(self) -> int:
        return self._rules.most_read(self._limits.history_limit)

    def _may_resume(self) -> bool:
        """Return whether the client may get what was published before it joined."""
        return self._is_proven or Action.HISTORY in self._subscription.can

    def _has_proof(self) -> bool:
        """Return whether the client has proved that it was on the channel before."""
        since, proof, subscription = self._start.since, self._start.proof, self._subscription
        if since is None or proof is None:
            return False
        caller = subscription.connection.principal.identity
        return self._parts.proofs.verify(proof, caller, subscription.item_id, since)

    def _resume_token(self, history: History) -> str | None:
        """Return what proves later that the client was here; it keeps what it has proved now."""
        connection, epoch = self._subscription.connection, history.position.epoch
        first, since, proof = first_offset(history), self._start.since, self._start.proof
        if self._is_proven and since and proof and since.epoch == epoch:
            first = min(first, proof.first)
        caller = connection.principal.identity
        return self._parts.proofs.write(caller, self._subscription.item_id, epoch, first)

    def _read(self, span: Span, answer: Callable[[History | EngineError], None]) -> None:
        span = span.at_most(self._most_read)
        if self._rules.retain:
            span = replace(span, retained=True)
        self._parts.engine.read(self._subscription.channel, span, answer)

    def _have_read(self, history: History | EngineError, *, recovered: bool = False) -> None:
        if self._is_over or not self._subscription.is_current:
            return
        if isinstance(history, EngineError):
            self._fail(history)
            return
        channel, caller = self._subscription.channel, self._subscription.connection.principal
        found = partial(self._have_found, history, recovered=recovered)
        self._parts.find_moved(channel, caller.identity, found)

    def _have_found(self, history: History, *, recovered: bool) -> None:
        """Admit the client, now that it is known whether it continues as an earlier member."""
        if not self._subscription.is_current:
            return
        if self._recovery.is_broken:
            self._fail(EngineError("more was published during a join than can be held for it"))
        else:
            merged = self._recovery.merge(history, from_first=self._start == LIVE)
            retained = None if recovered else _retained_before(merged, history.retained)
            self._admit(merged, retained, recovered=recovered)

    def _admit(self, history: History, retained: Publication | None, *, recovered: bool) -> None:
        """Make the client a member, send its welcome and what it missed, and let it go live.

        What is retained comes before all that, and needs no right to history: every subscriber
        gets it who does not go on from where it was.
        """
        parts, subscription = self._parts, self._subscription
        connection, channel = subscription.connection, subscription.channel
        caller = connection.principal.identity
        if self._has_members:
            subscription.member = parts.presence.join(channel, caller, subscription.member)
        logger.debug(
            "joined channel=%s subject=%r connection=%s member=%s",
            channel,
            connection.principal.subject,
            connection.id,
            subscription.member.connection,
        )
        subscription.has_joined = True
        parts.log.joined(subscription.item_id, subscription.member)
        welcome = self._welcome(history, recovered=recovered)
        if retained is not None:
            history = replace(history, publications=[retained, *history.publications])
        replayed = connection.welcome(subscription, welcome, history)
        if replayed is not None:
            parts.counters.replayed += replayed
            parts.hub.go_live(subscription, history.position)
        self._end()
        self._joined(None)

    def _welcome(self, history: History, *, recovered: bool) -> Welcome | None:
        """Return the welcome; None for a client whose codec has no word for one."""
        subscription = self._subscription
        if not subscription.connection.codec.has_envelopes:
            return None
        return welcome_to(
            subscription,
            history.position,
            self._limits,
            self._parts.presence.page(subscription.channel, FIRST_PAGE),
            self._ref,
            was_recovering=self._start.since is not None,
            recovered=recovered,
            resume=self._resume_token(history),
            max_message_bytes=self._rules.max_message_bytes,
        )

    def _expire(self, problem: EngineError | None) -> None:
        """Fail a join that is not done in time, unless its client has left."""
        if problem is not None and self._subscription.is_current:
            self._fail(problem)

    def _end(self) -> None:
        """Note that the outcome is known, so that nothing that comes now changes it."""
        self._is_over = True
        if self._deadline is not None:
            self._deadline(None)

    def _fail(self, problem: EngineError) -> None:
        self._end()
        logger.error(
            "join_failed connection=%s channel=%s problem=%s",
            self._subscription.connection.id,
            self._subscription.channel,
            problem,
        )
        self._joined(problem)


def _retained_before(history: History, retained: Publication | None) -> Publication | None:
    """Return what is retained, unless it is among what a client gets anyway."""
    if retained is None or not history.publications:
        return retained
    return retained if retained.offset < history.publications[0].offset else None
