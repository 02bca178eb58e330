"""What is done in a PostgreSQL database now and then: most of it is forgetting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set as AbstractSet
from typing import Any, Final

from itemwire.engines.base import KEY_SECONDS, Bounds, EngineError
from itemwire.engines.callbacks import answer_to
from itemwire.engines.postgres.link import StatementRefused
from itemwire.engines.postgres.requests import PostgresRequests
from itemwire.engines.tasks import repeat

logger = logging.getLogger("itemwire.engines")

TIDY_SECONDS: Final = 2.0
TIDY_SLICE: Final = 2000  # rows of a table at once: some milliseconds
LIVE_SECONDS: Final = 10.0  # messages are kept so long for nodes that are behind, out of bounds too
TOUCH_SECONDS: Final = 60.0
TOUCH_SLICE: Final = 1000
IDLE_TURNS: Final = 32  # a look for idle channels reads all of them

TOUCH: Final = """
UPDATE itemwire.channels SET used_at = clock_timestamp() WHERE id IN (
    SELECT id FROM itemwire.channels WHERE name = ANY ($1) FOR UPDATE SKIP LOCKED
)
"""
TIDY: Final = "SELECT itemwire.tidy($1, $2, $3, $4, $5, $6, $7)"


class PostgresUpkeep:
    """One node's share of it; of all nodes, one at a time forgets."""

    def __init__(self, requests: PostgresRequests, bounds: Bounds, heard: AbstractSet[str]) -> None:
        self._requests = requests
        self._bounds = bounds
        self._heard = heard
        self._turn = 0

    def tasks(self) -> list[asyncio.Task[None]]:
        """Begin; who asks ends them."""
        return [
            asyncio.create_task(repeat(TIDY_SECONDS, self._tidy_next)),
            asyncio.create_task(repeat(TOUCH_SECONDS, self.touch)),
        ]

    async def touch(self) -> None:
        """Keep channels that are heard from being forgotten."""
        channels = sorted(self._heard)
        for first in range(0, len(channels), TOUCH_SLICE):
            await self._do(TOUCH, channels[first : first + TOUCH_SLICE])

    async def tidy(self, *, with_channels: bool) -> None:
        """Forget what is out of bounds, and channels that nobody has used."""
        bounds = self._bounds
        idle = max(bounds.seconds, KEY_SECONDS) + 2 * TOUCH_SECONDS
        is_more = True
        while is_more:
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
            is_more = bool(rows and rows[0][0])

    async def _tidy_next(self) -> None:
        self._turn += 1
        await self.tidy(with_channels=self._turn % IDLE_TURNS == 0)

    async def _do(self, query: str, *values: object) -> list[Any]:
        """Do something that can wait; what fails is done the next time."""
        done: asyncio.Future[list[Any] | EngineError] = asyncio.get_running_loop().create_future()
        self._requests.ask(answer_to(done), query, *values)
        result = await done
        if isinstance(result, StatementRefused):
            logger.error("engine_upkeep_failed problem=%s", result)
        if isinstance(result, EngineError):  # it is away, and that is said elsewhere
            return []
        return result
