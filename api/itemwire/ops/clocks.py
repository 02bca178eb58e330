"""Compares this machine's clock with another's."""

from __future__ import annotations

from typing import Final

from itemwire.ops.findings import Finding, doubtful, good, wrong
from itemwire_auth.tokens.claims import CLOCK_DIFFERENCE

SAME: Final = 2.0  # seconds: a Date header has no fractions, and an answer takes its time
REMEDY: Final = "let both clocks follow NTP, or raise ITEMWIRE_LEEWAY by the difference"


def compared(whose: str, theirs: float, ours: float, leeway: float) -> Finding:
    """Return how far two clocks are apart, and whether tokens are refused for it."""
    apart = theirs - ours
    told = f"that of {whose} is {abs(apart):.1f} s {'ahead' if apart > 0 else 'behind'}"
    if abs(apart) <= SAME:
        return good(f"that of {whose} is the same")
    if abs(apart) <= max(leeway, CLOCK_DIFFERENCE):
        return doubtful(told, REMEDY)
    return wrong(f"{told}: good tokens are refused, or expired ones taken", REMEDY)
