"""Compares this machine's clock with another's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from itemwire.ops.doctor.findings import Finding, doubtful, good, wrong
from itemwire_auth.tokens.claims import CLOCK_DIFFERENCE

SAME: Final = 2.0  # seconds: a Date header has no fractions, and an answer takes its time


@dataclass(frozen=True, slots=True)
class OtherClock:
    """Another's clock: whose it is, what a difference costs, and what to do about it."""

    whose: str
    costs: str
    remedy: str


def of_issuer(url: str) -> OtherClock:
    """Return the clock by which tokens are dated."""
    costs = "good tokens are refused, or expired ones taken"
    remedy = "let both clocks follow NTP, or raise ITEMWIRE_LEEWAY by the difference"
    return OtherClock(url, costs, remedy)


OF_ENGINE: Final = OtherClock(
    "the engine",
    "history, tickets and revocations end at another time than is set",
    "let both clocks follow NTP",
)


def compared(other: OtherClock, theirs: float, ours: float, leeway: float = 0) -> Finding:
    """Return how far two clocks are apart, and whether that matters."""
    apart = theirs - ours
    told = f"the clock of {other.whose} is {abs(apart):.1f} s {'ahead' if apart > 0 else 'behind'}"
    if abs(apart) <= SAME:
        return good(f"the clock of {other.whose} says the same as this machine's")
    if abs(apart) <= max(leeway, CLOCK_DIFFERENCE):
        return doubtful(told, other.remedy)
    return wrong(f"{told}: {other.costs}", other.remedy)
