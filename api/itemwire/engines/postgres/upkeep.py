"""Regular upkeep of a PostgreSQL database, most of it the deletion of old rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from itemwire.engines.base import KEY_SECONDS, Bounds, EngineError
from itemwire.engines.callbacks import answer_to
from itemwire.engines.networked import Routine
from itemwire.engines.postgres.client import Row
from itemwire.engines.postgres.connection import StatementRefused
from itemwire.engines.postgres.requests import PostgresRequests

logger = logging.getLogger("itemwire.engines")

TIDY_SECONDS: Final = 2.0
TIDY_SLICE: Final = 2000  # rows of a table at once: some milliseconds
LIVE_SECONDS: Final = 10.0  # how long messages stay beyond the bounds, for nodes that are behind
TOUCH_SECONDS: Final = 60.0
TOUCH_SLICE: Final = 1000
IDLE_TURNS: Final = 32  # looking for idle channels reads all of them

TOUCH: Final = """
UPDATE itemwire.channels SET used_at = clock_timestamp() WHERE id IN (
    SELECT id FROM itemwire.channels WHERE name = ANY ($1) FOR UPDATE SKIP LOCKED
)
"""
TIDY: Final = "SELECT itemwire.tidy($1, $2, $3, $4, $5, $6, $7)"


class PostgresUpkeep:
    """This node's share of the upkeep; of all nodes, one at a time deletes."""

    def __init__(
        self, requests: PostgresRequests, bounds: Bounds, subscribed: AbstractSet[str]
    ) -> None:
        self._requests = requests
        self._bounds = bounds
        self._subscribed = subscribed
        self._turn = 0
        self._problem = ""  # logged once, however long it lasts

    def routines(self) -> Iterable[Routine]:
        """Return what is repeated from the start to the stop."""
        return [(TIDY_SECONDS, self._tidy_next), (TOUCH_SECONDS, self.touch)]

    async def touch(self) -> None:
        """Keep the channels that this node subscribes to from being deleted as idle."""
        channels = sorted(self._subscribed)
        for first in range(0, len(channels), TOUCH_SLICE):
            await self._do(TOUCH, channels[first : first + TOUCH_SLICE])

    async def tidy(self, *, with_channels: bool) -> None:
        """Delete what is beyond its bounds, and channels that nobody has used."""
        bounds = self._bounds
        idle = max(bounds.seconds, KEY_SECONDS) + 2 * TOUCH_SECONDS
        has_more = True
        while has_more:
            rows = await self._do(
                TIDY,
                bounds.messages,
                bounds.bytes,
                float(bounds.seconds),
                LIVE_SECONDS,
                KEY_SECONDS,
                idle if with_channels else None,
                TIDY_SLICE,
            )
            has_more = bool(rows and rows[0][0])

    async def _tidy_next(self) -> None:
        self._turn += 1
        await self.tidy(with_channels=self._turn % IDLE_TURNS == 0)

    async def _do(self, query: str, *values: object) -> list[Row]:
        """Run a statement that can wait: if it fails, it is tried again the next time."""
        done: asyncio.Future[list[Row] | EngineError] = asyncio.get_running_loop().create_future()
        self._requests.ask(answer_to(done), query, *values)
        result = await done
        problem = str(result) if isinstance(result, StatementRefused) else ""
        if problem and problem != self._problem:
            logger.error("engine_upkeep_failed problem=%s", problem)
        self._problem = problem
        # Any other error is an outage, which the connection itself reports.
        return [] if isinstance(result, EngineError) else result
