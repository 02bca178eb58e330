"""A subscription's way in: held, its past read, admitted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from itemwire.channels.connection import Subscription
from itemwire.channels.delivery.recovery import LIVE, Recovery, Start, resumes
from itemwire.channels.hub import Hub
from itemwire.channels.limits.bounds import Limits
from itemwire.engines.base import Engine, EngineError, History, Span
from itemwire.messages import Position


@dataclass(frozen=True, slots=True)
class JoinResult:
    """What a subscription is admitted with."""

    history: History
    recovery: Recovery
    was_recovering: bool
    recovered: bool


Arrive = Callable[[JoinResult | EngineError], None]
"""Admits a subscription or says why not: called once, unless it was left meanwhile."""


class PendingJoin:
    """Brings one subscription to the point where it can go live.

    It is held in the hub before its past is read, so nothing falls in between.
    """

    __slots__ = ("_arrive", "_engine", "_limits", "_recovery", "_start", "_subscription")

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        subscription: Subscription,
        start: Start,
        arrive: Arrive,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._subscription = subscription
        self._start = start
        self._arrive = arrive
        self._recovery = Recovery(limits.outbox_bytes)

    def begin(self, hub: Hub) -> None:
        """Hold the subscription, and read what it is to see first."""
        hub.hold(self._subscription, self._recovery)
        self._engine.subscribe(self._subscription.channel, self._subscribed)

    def _subscribed(self, problem: EngineError | None) -> None:
        since = self._start.since
        if problem is not None:
            self._finish(problem)
        elif since is None:
            self._read(Span(self._start.replay), self._finish)
        else:
            span = Span(self._limits.history_limit, since.offset)
            self._read(span, partial(self._resume, since))

    def _resume(self, since: Position, history: History | EngineError) -> None:
        if isinstance(history, EngineError):
            self._finish(history)
        elif resumes(since, history):
            self._finish(history, recovered=True)
        elif self._start.replay:
            self._read(Span(self._start.replay), self._finish)
        else:  # never a part of what was missed: it would look like all
            self._finish(replace(history, publications=[]))

    def _finish(self, history: History | EngineError, *, recovered: bool = False) -> None:
        if not self._subscription.is_current:
            return
        if isinstance(history, EngineError):
            self._arrive(history)
        elif self._recovery.is_broken:
            self._arrive(EngineError("more was published during a join than can be held for it"))
        else:
            was_recovering = self._start.since is not None
            if self._start == LIVE:
                history = self._recovery.from_first(history)
            self._arrive(JoinResult(history, self._recovery, was_recovering, recovered))

    def _read(self, span: Span, read: Callable[[History | EngineError], None]) -> None:
        self._engine.read(
            self._subscription.channel, span.at_most(self._limits.history_limit), read
        )
