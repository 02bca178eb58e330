"""How many messages a second each channel gets, worked out while somebody asks for it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from itemwire.channels.hub import Hub
from itemwire.ops.slices import in_slices

LEAST_SECONDS: Final = 0.5  # between two looks
FRESH_SECONDS: Final = 1.0  # for which a look serves all that ask
KEPT_SECONDS: Final = 60.0  # for which offsets are kept after somebody asked


class ChannelRates:
    """Compares the offsets of all channels with those of the look before.

    Nothing is counted as messages go by. The first who asks waits for half a second; who asks again
    within a minute gets the rate since the last look, at once.
    """

    def __init__(self, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._clock = clock
        self._offsets: dict[str, int] = {}
        self._looked_at: float | None = None
        self._rates: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def update(self) -> None:
        """Bring the rates up to date."""
        async with self._lock:
            if self._looked_at is None:
                await self._look()
                await asyncio.sleep(LEAST_SECONDS)
                await self._look()
            elif self._clock() - self._looked_at >= FRESH_SECONDS:
                await self._look()

    def of(self, channel: str) -> float:
        """Return the messages a second of a channel, between the last two looks."""
        return self._rates.get(channel, 0.0)

    def tick(self) -> None:
        """Forget the offsets if nobody has asked for a while."""
        if self._looked_at is not None and self._clock() - self._looked_at > KEPT_SECONDS:
            self._offsets, self._rates, self._looked_at = {}, {}, None

    async def _look(self) -> None:
        before, began = self._offsets, self._looked_at
        now = self._clock()
        offsets: dict[str, int] = {}
        rates: dict[str, float] = {}
        async for names in in_slices(self._hub.names()):
            for name in names:
                offset = offsets[name] = self._hub.reach(name).position.offset
                more = offset - before.get(name, offset)
                if more > 0 and began is not None:
                    rates[name] = round(more / max(now - began, 0.001), 3)
        self._offsets, self._rates, self._looked_at = offsets, rates, now
