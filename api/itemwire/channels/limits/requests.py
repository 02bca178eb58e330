"""How often a connection may ask, and how much it may send: arithmetic, no timers.

Of each kind of request, and of bytes, a connection and its subject have a bucket. A bucket holds
two seconds' worth and fills steadily. What it costs to take from it is counted in seconds, the
time in which as much flows in, so that all kinds are alike and a bucket is one number.
"""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from itemwire.channels.limits.bounds import RateLimits
from itemwire_auth.principal import Identity, Principal

logger = logging.getLogger("itemwire.channels")

BURST_SECONDS: Final = 2.0
PATIENCE: Final = 9  # who sends this many times the rate in vain, ten times in all, never listens
MAX_IDLE_SUBJECTS: Final = 10_000  # some 4 MB

NEVER: Final = math.inf

ROUNDING: Final = 1e-5  # seconds by which a sum of times may be off


class RequestKind(IntEnum):
    """What is counted apart; the values are places in lists."""

    PUBLISH = 0
    JOIN = 1
    HISTORY = 2
    OTHER = 3


BYTES: Final = 4  # the place of what is counted beside each of the kinds


class SharedTokenBuckets:
    """What the connections of one subject have taken together."""

    __slots__ = ("full_at", "holders")

    def __init__(self) -> None:
        self.full_at = [0.0] * (BYTES + 1)
        self.holders = 0


class TokenBuckets:
    """What one connection has taken, what it asked in vain, and its subject's part in both.

    A bucket is the moment at which all that was taken has flowed in again.
    """

    __slots__ = ("full_at", "in_vain", "is_noted", "shared")

    def __init__(self, shared: SharedTokenBuckets) -> None:
        self.full_at = [0.0] * (BYTES + 1)
        self.in_vain = 0.0
        self.is_noted = False
        self.shared = shared


class Requester(Protocol):
    """A connection, as its rates know it."""

    @property
    def id(self) -> str:
        """Tell which."""
        ...

    principal: Principal
    buckets: TokenBuckets | None


class RequestRates:
    """The budgets of this node's connections.

    A connection has one from its first request on. A subject has one as long as a connection of
    its has, and until its buckets are full again: to connect anew is no way to have more.
    """

    def __init__(self, limits: RateLimits, clock: Callable[[], float] = time.monotonic) -> None:
        rates = (limits.publish, limits.join, limits.history, limits.request, limits.bytes)
        factor = limits.subject_factor
        self._costs = [1 / rate if rate else 0.0 for rate in rates]
        self._shared_costs = [cost / factor if factor else 0.0 for cost in self._costs]
        self._rooms = [BURST_SECONDS] * len(rates)
        self._rooms[RequestKind.JOIN] = max(
            BURST_SECONDS, limits.join_burst * self._costs[RequestKind.JOIN]
        )
        self._clock = clock
        self._subjects: dict[Identity, SharedTokenBuckets] = {}
        self._idle: OrderedDict[Identity, float] = OrderedDict()  # until when: none is connected
        self.refused = [0] * len(RequestKind)  # so far, by kind

    def spend(self, connection: Requester, kind: RequestKind, size: int) -> float:
        """Take for one request; else tell in how many seconds to ask again: `NEVER`, to go."""
        now = self._clock()
        buckets = connection.buckets or self._begin(connection)
        own, shared = buckets.full_at, buckets.shared.full_at
        asked, asked_shared, room = self._costs[kind], self._shared_costs[kind], self._rooms[kind]
        sent, sent_shared = self._costs[BYTES] * size, self._shared_costs[BYTES] * size
        # Without a call each, for this is done for every message.
        if (
            own[kind] + asked > now + room
            or shared[kind] + asked_shared > now + room
            or own[BYTES] + sent > now + BURST_SECONDS
            or shared[BYTES] + sent_shared > now + BURST_SECONDS
        ):
            wait = max(
                _wait(own[kind], now, asked, room),
                _wait(shared[kind], now, asked_shared, room),
                _wait(own[BYTES], now, sent, BURST_SECONDS),
                _wait(shared[BYTES], now, sent_shared, BURST_SECONDS),
            )
            if wait:
                return self._refuse(connection, kind, now, max(asked, sent), wait)
        own[kind] = (own[kind] if own[kind] > now else now) + asked
        own[BYTES] = (own[BYTES] if own[BYTES] > now else now) + sent
        shared[kind] = (shared[kind] if shared[kind] > now else now) + asked_shared
        shared[BYTES] = (shared[BYTES] if shared[BYTES] > now else now) + sent_shared
        return 0.0

    def release(self, connection: Requester) -> None:
        """Forget a connection, which has ended; its subject a little later."""
        buckets, connection.buckets = connection.buckets, None
        if buckets is None:
            return
        buckets.shared.holders -= 1
        if not buckets.shared.holders:
            self._idle[connection.principal.identity] = max(buckets.shared.full_at)
            self.forget_idle()

    def forget_idle(self) -> None:
        """Forget subjects that are gone, once that gives them nothing that they had not."""
        now = self._clock()
        while self._idle:
            identity, until = next(iter(self._idle.items()))
            if until > now and len(self._idle) <= MAX_IDLE_SUBJECTS:
                return
            del self._idle[identity], self._subjects[identity]

    def _begin(self, connection: Requester) -> TokenBuckets:
        identity = connection.principal.identity
        shared = self._subjects.get(identity)
        if shared is None:
            shared = self._subjects[identity] = SharedTokenBuckets()
        shared.holders += 1
        self._idle.pop(identity, None)
        buckets = connection.buckets = TokenBuckets(shared)
        return buckets

    def _refuse(
        self, connection: Requester, kind: RequestKind, now: float, seconds: float, wait: float
    ) -> float:
        """Count a request that is refused, and log the first of its connection."""
        self.refused[kind] += 1
        buckets = connection.buckets or self._begin(connection)
        if not buckets.is_noted:
            buckets.is_noted = True
            logger.warning(
                "rate_limited connection=%s subject=%r kind=%s",
                connection.id,
                connection.principal.subject,
                kind.name.lower(),
            )
        if _wait(buckets.in_vain, now, seconds / PATIENCE, BURST_SECONDS):
            return NEVER
        buckets.in_vain = max(buckets.in_vain, now) + seconds / PATIENCE
        return wait


def _wait(full_at: float, now: float, seconds: float, room: float) -> float:
    """Tell how long it takes until so much can be taken; a full bucket gives any amount."""
    wait = full_at + seconds - now - room
    return wait if full_at > now and wait > ROUNDING else 0.0


def build_request_rates(limits: RateLimits) -> RequestRates | None:
    """Make what counts; None where nothing is limited, so that nothing is counted."""
    asked = (limits.publish, limits.join, limits.history, limits.request, limits.bytes)
    return RequestRates(limits) if any(asked) else None
