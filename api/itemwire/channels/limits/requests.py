"""How often a connection may ask, and how much it may send: token buckets, no timers.

A connection has a bucket for each kind of request and one for bytes; its subject has the same for
all of its connections together, and two more for what its messages cost others: a delivery for each
subscriber that a message has, and the bytes of all of these. A bucket holds two seconds' worth of
tokens and fills steadily. Costs are counted in seconds, the time in which as many tokens flow in,
so that all kinds are alike and a bucket is one number: the moment at which it will be full again.
"""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from msgspec import UNSET

from itemwire.channels.limits.bounds import RateLimits
from itemwire.engines.base import EngineError
from itemwire.messages import Member
from itemwire_auth.principal import Identity, Principal

logger = logging.getLogger("itemwire.channels")

BURST_SECONDS: Final = 2.0
MAX_REFUSED: Final = 9  # times the rate: a client that is refused so much more does not listen
MAX_IDLE_SUBJECTS: Final = 10_000  # some 4 MB

NEVER: Final = math.inf
"""The wait of a client that is to be disconnected: it goes on far past its rate."""

ROUNDING: Final = 1e-5  # seconds by which a sum of floating-point times may be off


class PastRate(EngineError):
    """The engine was not asked: the publisher has used up what it may, for so many seconds.

    `wait` may be `NEVER`.
    """

    def __init__(self, wait: float, detail: str) -> None:
        super().__init__(detail)
        self.wait = wait


class TooManyDeliveries(PastRate):
    """The publisher has used up its deliveries."""

    def __init__(self, wait: float) -> None:
        detail = "This is more than one caller may have delivered in this time; slow down."
        super().__init__(wait, detail)


class TooManyMessages(PastRate):
    """The publisher has used up what the rule of the item lets one caller publish."""

    def __init__(self, wait: float) -> None:
        detail = "This is more than one caller may publish to these items; slow down."
        super().__init__(wait, detail)


class RequestKind(IntEnum):
    """The kinds of requests that have rates of their own; the values are indices of lists.

    A delivery is no request of its own: publishing to many subscribers takes that many.
    """

    PUBLISH = 0
    JOIN = 1
    HISTORY = 2
    OTHER = 3
    DELIVERY = 5


MEMBER_BYTES: Final = 128  # about as much as a member takes that is told, without its `info`
BYTES: Final = 4  # the index of the bucket for bytes, which each kind of request takes from too
DELIVERIES: Final = 5  # and these of two buckets that only subjects have
DELIVERED_BYTES: Final = 6
TOLD: Final = (7, 8)  # likewise, of what others are told when a caller joins and leaves


class SharedTokenBuckets:
    """The buckets that all connections of one subject share, and those of its deliveries."""

    __slots__ = ("connections", "full_at")

    def __init__(self) -> None:
        self.full_at = [0.0] * (max(TOLD) + 1)
        self.connections = 0


class TokenBuckets:
    """The buckets of one connection, and those that it shares with others of its subject.

    Refused requests have a bucket as well: a client that empties it does not listen.
    """

    __slots__ = ("full_at", "is_logged", "refusals_full_at", "shared")

    def __init__(self, shared: SharedTokenBuckets) -> None:
        self.full_at = [0.0] * (BYTES + 1)
        self.refusals_full_at = 0.0
        self.is_logged = False
        self.shared = shared


class Requester(Protocol):
    """What the rates need to know of a connection, or of a caller over HTTP."""

    @property
    def id(self) -> str:
        """Return what it is called in the log."""
        ...

    principal: Principal
    buckets: TokenBuckets | None


class RequestRates:
    """The token buckets of this node's connections.

    A connection has buckets from its first request on, so one that only listens pays nothing. Its
    subject's buckets stay until they are full again, even if its last connection ends before:
    to reconnect is no way to get more.
    """

    def __init__(self, limits: RateLimits, clock: Callable[[], float] = time.monotonic) -> None:
        rates = (limits.publish, limits.join, limits.history, limits.request, limits.bytes)
        factor = limits.subject_factor
        self._costs = [1 / rate if rate else 0.0 for rate in rates]
        self._shared_costs = [cost / factor if factor else 0.0 for cost in self._costs]
        self.is_free = [not cost and not self._costs[BYTES] for cost in self._costs]
        """Whether requests of each kind are not limited at all, whatever their bytes."""

        self._capacities = [BURST_SECONDS] * len(rates)
        self._capacities[RequestKind.JOIN] = max(
            BURST_SECONDS, limits.join_burst * self._costs[RequestKind.JOIN]
        )
        self._delivery_cost = 1 / limits.deliveries if limits.deliveries else 0.0
        self._delivered_byte_cost = 1 / limits.delivered_bytes if limits.delivered_bytes else 0.0
        self.counts_deliveries = bool(limits.deliveries or limits.delivered_bytes)
        self._clock = clock
        self._subjects: dict[Identity, SharedTokenBuckets] = {}
        # Subjects without a connection, and until when their buckets are kept.
        self._idle: OrderedDict[Identity, float] = OrderedDict()
        self.refused = dict.fromkeys(RequestKind, 0)  # so far

    def spend(self, connection: Requester, kind: RequestKind, size: int) -> float:
        """Take the tokens of a request and return 0, or else the seconds to wait or `NEVER`."""
        now = self._clock()
        buckets = connection.buckets or self._open_buckets(connection)
        own, shared = buckets.full_at, buckets.shared.full_at
        cost, shared_cost = self._costs[kind], self._shared_costs[kind]
        room = self._capacities[kind]
        bytes_cost, shared_bytes_cost = self._costs[BYTES] * size, self._shared_costs[BYTES] * size
        # Written out, without a call for each bucket: this runs for every message.
        if (
            own[kind] + cost > now + room
            or shared[kind] + shared_cost > now + room
            or own[BYTES] + bytes_cost > now + BURST_SECONDS
            or shared[BYTES] + shared_bytes_cost > now + BURST_SECONDS
        ):
            wait = max(
                bucket_wait(own[kind], now, cost, room),
                bucket_wait(shared[kind], now, shared_cost, room),
                bucket_wait(own[BYTES], now, bytes_cost, BURST_SECONDS),
                bucket_wait(shared[BYTES], now, shared_bytes_cost, BURST_SECONDS),
            )
            if wait:
                return self._refuse(connection, kind, now, max(cost, bytes_cost), wait)
        own[kind] = (own[kind] if own[kind] > now else now) + cost
        own[BYTES] = (own[BYTES] if own[BYTES] > now else now) + bytes_cost
        shared[kind] = (shared[kind] if shared[kind] > now else now) + shared_cost
        shared[BYTES] = (shared[BYTES] if shared[BYTES] > now else now) + shared_bytes_cost
        return 0.0

    def spend_deliveries(self, connection: Requester, subscribers: int, size: int) -> float:
        """Take the tokens of a message of so many bytes that so many subscribers receive.

        They are taken from the subject of its publisher alone, on whichever connections and items
        it publishes. Return what `spend` returns.
        """
        now = self._clock()
        shared = (connection.buckets or self._open_buckets(connection)).shared.full_at
        cost = self._delivery_cost * subscribers
        bytes_cost = self._delivered_byte_cost * subscribers * size
        full_at, bytes_full_at = shared[DELIVERIES], shared[DELIVERED_BYTES]
        # Written out, as above.
        if full_at + cost > now + BURST_SECONDS or bytes_full_at + bytes_cost > now + BURST_SECONDS:
            wait = max(
                bucket_wait(full_at, now, cost, BURST_SECONDS),
                bucket_wait(bytes_full_at, now, bytes_cost, BURST_SECONDS),
            )
            if wait:
                seconds = max(cost, bytes_cost)
                return self._refuse(connection, RequestKind.DELIVERY, now, seconds, wait)
        shared[DELIVERIES] = (full_at if full_at > now else now) + cost
        shared[DELIVERED_BYTES] = (bytes_full_at if bytes_full_at > now else now) + bytes_cost
        return 0.0

    def may_tell(self, identity: Identity, listeners: int, size: int) -> bool:
        """Take the tokens of so many bytes that so many listeners are told because of a caller.

        Return False, and take none, if a caller is past its budget, which is as large as that for
        what it publishes. It need not have a connection of which there are buckets.
        """
        now = self._clock()
        shared = self._subjects.get(identity)
        if shared is None:
            shared = self._subjects[identity] = SharedTokenBuckets()
        full_at = shared.full_at
        costs = self._delivery_cost * listeners, self._delivered_byte_cost * listeners * size
        waits = (
            bucket_wait(full_at[kind], now, cost, BURST_SECONDS)
            for kind, cost in zip(TOLD, costs, strict=True)
        )
        is_told = not any(waits)
        if is_told:
            for kind, cost in zip(TOLD, costs, strict=True):
                full_at[kind] = max(full_at[kind], now) + cost
        if not shared.connections:
            self._idle.pop(identity, None)
            self._idle[identity] = max(full_at)
            self.forget_idle()
        return is_told

    def release(self, connection: Requester) -> None:
        """Forget a connection that ended; its subject's buckets stay until they are full."""
        buckets, connection.buckets = connection.buckets, None
        if buckets is None:
            return
        buckets.shared.connections -= 1
        if not buckets.shared.connections:
            self._idle[connection.principal.identity] = max(buckets.shared.full_at)
            self.forget_idle()

    def forget_idle(self) -> None:
        """Forget subjects that have no connection and full buckets, or are too many."""
        now = self._clock()
        while self._idle:
            identity, until = next(iter(self._idle.items()))
            if until > now and len(self._idle) <= MAX_IDLE_SUBJECTS:
                return
            del self._idle[identity], self._subjects[identity]

    def _open_buckets(self, connection: Requester) -> TokenBuckets:
        identity = connection.principal.identity
        shared = self._subjects.get(identity)
        if shared is None:
            shared = self._subjects[identity] = SharedTokenBuckets()
        shared.connections += 1
        self._idle.pop(identity, None)
        buckets = connection.buckets = TokenBuckets(shared)
        return buckets

    def _refuse(
        self, connection: Requester, kind: RequestKind, now: float, seconds: float, wait: float
    ) -> float:
        """Count a refused request, log the first one of its connection, and return the wait."""
        self.refused[kind] += 1
        buckets = connection.buckets or self._open_buckets(connection)
        if not buckets.is_logged:
            buckets.is_logged = True
            logger.warning(
                "rate_limited connection=%s subject=%r kind=%s",
                connection.id,
                connection.principal.subject,
                kind.name.lower(),
            )
        if bucket_wait(buckets.refusals_full_at, now, seconds / MAX_REFUSED, BURST_SECONDS):
            return NEVER
        buckets.refusals_full_at = max(buckets.refusals_full_at, now) + seconds / MAX_REFUSED
        return wait


def presence_budget(
    rates: RequestRates | None, watchers: Callable[[str], int]
) -> Callable[[str, Identity, Member], bool]:
    """Return what says whether those who watch an item's members are told of one at once.

    A member that joins is told twice, now and when it leaves, to each that watches.
    """

    def may_tell(channel: str, identity: Identity, member: Member) -> bool:
        if rates is None or not rates.counts_deliveries:
            return True
        listeners = 2 * watchers(channel)
        info = 0 if member.info is UNSET else len(member.info)
        return not listeners or rates.may_tell(identity, listeners, MEMBER_BYTES + info)

    return may_tell


def bucket_wait(full_at: float, now: float, seconds: float, room: float) -> float:
    """Return the seconds until a bucket holds a number of tokens, or is full.

    Otherwise a message that costs more than a full bucket would never get through.
    """
    wait = full_at + min(seconds, room) - now - room
    return wait if full_at > now and wait > ROUNDING else 0.0


def build_request_rates(limits: RateLimits) -> RequestRates | None:
    """Return the rates of these limits; None if nothing is limited or to be counted."""
    rates = (limits.publish, limits.join, limits.history, limits.request, limits.bytes)
    deliveries = (limits.deliveries, limits.delivered_bytes)
    return RequestRates(limits) if any(rates + deliveries) else None
