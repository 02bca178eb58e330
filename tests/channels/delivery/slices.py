"""Slices of time that are over after so many writes."""

from __future__ import annotations

from unittest.mock import patch

from itemwire.channels import hub as hub_module
from itemwire.channels.delivery import lanes as lanes_module
from itemwire.channels.delivery.time_slice import TimeSlice

GONE = 5.0  # seconds of which each look at the clock says that they have passed


def short(writes: int = 1) -> TimeSlice:
    """Return a slice that is over after so many writes: each look at the clock is too late."""
    moments = iter(range(10**9))
    return TimeSlice(1.0, writes, lambda: next(moments) * GONE)


class ShortSlices:
    """Make every slice of hub and lanes short, within a `with` block."""

    def __init__(self, writes: int = 1) -> None:
        self._patches = [
            patch.object(module, "TimeSlice", lambda: short(writes))
            for module in (hub_module, lanes_module)
        ]

    def __enter__(self) -> None:
        for one in self._patches:
            one.start()

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()
