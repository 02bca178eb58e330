"""How many connections there may be: per address, per subject, in total.

`handshakes.py` limits how often they are opened, and is asked here as well.

A slot is acquired before anything is awaited, and released once, when the socket is gone, however
it ended. So the counts are exact, and many handshakes at once cannot get past a limit.
"""

import sys
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, TypeVar

from itemwire.channels.limits.handshakes import HandshakeRate
from itemwire.close_reasons import CONNECTION_LIMIT, OVERLOADED, CloseReason
from itemwire_auth.addresses import Network, site_finder
from itemwire_auth.principal import Identity

K = TypeVar("K", bound=Hashable)

MIN_SPARE: Final = 32  # descriptors for listeners, the engine, files, and requests over HTTP
MAX_SPARE: Final = 1024  # and for sockets that were refused and are not closed yet


def _report_to_nobody(_identity: Identity) -> None:
    """Do nothing: there is no other node."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections may be open at the same time; 0 sets no limit."""

    total: int = 0
    per_address: int = 0
    per_subject: int = 0
    exempt: tuple[Network, ...] = ()  # shared addresses, such as a proxy's, have no limit


class ConnectionSlot:
    """What one connection counts for, from before its handshake until its socket is gone."""

    __slots__ = ("_identity", "_is_released", "_site", "_slots", "is_handed_over")

    def __init__(self, slots: "ConnectionSlots", site: str | None) -> None:
        self._slots = slots
        self._site = site
        self._identity: Identity | None = None
        self._is_released = False
        self.is_handed_over = False  # to the session, which outlives the call of the route

    def claim_for(self, identity: Identity) -> bool:
        """Count it for its caller too, once that is known; return False if that is at its limit.

        The sockets that the caller has on other nodes count as well.
        """
        slots, limit = self._slots, self._slots.limits.per_subject
        if self._identity is not None or not limit:
            return True
        if slots.by_subject[identity] + slots.on_other_nodes[identity] >= limit:
            slots.refused["subject"] += 1
            return False
        self._identity = identity
        slots.by_subject[identity] += 1
        slots.on_change(identity)
        return True

    def release(self) -> None:
        """Give the slot back; releasing it again does nothing."""
        if self._is_released:
            return
        self._is_released = True
        self._slots.in_use -= 1
        if self._site is not None:
            _decrement(self._slots.by_address, self._site)
        if self._identity is not None:
            _decrement(self._slots.by_subject, self._identity)
            self._slots.on_change(self._identity)


class ConnectionSlots:
    """The connection slots of this node.

    `in_use` is always counted; addresses and subjects only if they have a limit. `on_other_nodes`
    is how many sockets each subject has there, as far as is known; `on_change` is called with each
    subject whose count on this node changes.
    """

    def __init__(
        self, limits: ConnectionLimits | None = None, handshake_rate: HandshakeRate | None = None
    ) -> None:
        self.limits = limits or ConnectionLimits()
        self._site_of = site_finder(self.limits.exempt)
        self.handshake_rate = handshake_rate or HandshakeRate()  # which by default admits all
        self.in_use = 0
        self.by_address: Counter[str] = Counter()
        self.by_subject: Counter[Identity] = Counter()
        self.on_other_nodes: Counter[Identity] = Counter()
        self.on_change: Callable[[Identity], None] = _report_to_nobody
        self.refused = {"all": 0, "address": 0, "subject": 0}  # so far, by limit

    def acquire(self, host: str | None) -> ConnectionSlot | CloseReason:
        """Return a slot for a connection from an address, or the reason to refuse it."""
        too_often = self.handshake_rate.admit(host)
        if too_often is not None:
            return too_often
        limits = self.limits
        if limits.total and self.in_use >= limits.total:
            self.refused["all"] += 1
            return OVERLOADED
        site = self._site_of(host) if host and limits.per_address else None
        if site is not None:
            if self.by_address[site] >= limits.per_address:
                self.refused["address"] += 1
                return CONNECTION_LIMIT
            self.by_address[site] += 1
        self.in_use += 1
        return ConnectionSlot(self, site)


def max_sockets() -> int:
    """Return how many sockets this process has descriptors for, less some to spare; 0: any."""
    if sys.platform == "win32":
        return 0  # has no such limit
    import resource  # noqa: PLC0415 - there is none on Windows

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return 0
    return max(files - min(max(files // 8, MIN_SPARE), MAX_SPARE), 1)


def with_spare(sockets: int) -> int:
    """Return how many TCP connections there may be for so many sockets: half a reserve more."""
    return sockets and sockets + min(max(sockets // 8, MIN_SPARE), MAX_SPARE) // 2


def _decrement(counts: Counter[K], key: K) -> None:
    """Count one less; nothing is kept of a count of 0."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
