"""The bounds of channels as nodes tell them: the engine process knows no rules of its own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from typing_extensions import override

from itemwire.engines.base import Bounds, ChannelBounds

MOST_CHANNELS: Final = 200_000  # with other bounds than most


class ToldBounds(ChannelBounds):
    """Bounds that come with each request.

    Until `settle` is called, nothing may be forgotten for its age: not every node may have told
    yet how long it needs a history. An engine that is not made before the first node has told its
    bounds can do with bounds that are settled at once.
    """

    def __init__(self, total_bytes: int = 0, *, is_settled: bool = False) -> None:
        self._usual: Bounds | None = None
        self._others: dict[str, Bounds] = {}
        self._told = Bounds(0, 0, 0, total_bytes)
        self._largest = replace(self._told, seconds=math.inf, retained=1)
        self._is_settled = False
        if is_settled:
            self.settle()

    def tell_largest(self, bounds: Bounds) -> None:
        """Take what a node's channels do not exceed."""
        told = self._told
        self._told = Bounds(
            max(told.messages, bounds.messages),
            max(told.bytes, bounds.bytes),
            max(told.seconds, bounds.seconds),
            told.total_bytes,
            max(told.retained, bounds.retained),
        )
        if self._is_settled:
            self._largest = self._told

    def settle(self) -> None:
        """Take what was told for all there is."""
        self._is_settled = True
        self._largest = self._told

    def tell(self, channel: str, bounds: Bounds) -> None:
        """Take the bounds of a channel, ahead of a request that is about it."""
        if self._usual is None:
            self._usual = bounds
        if bounds is self._usual or bounds == self._usual:
            return
        if channel not in self._others:
            if len(self._others) >= MOST_CHANNELS:
                del self._others[next(iter(self._others))]
            self._others[channel] = bounds

    @override
    def of(self, channel: str, /) -> Bounds:
        return self._others.get(channel) or self._usual or self._largest

    @property
    @override
    def largest(self) -> Bounds:
        return self._largest
