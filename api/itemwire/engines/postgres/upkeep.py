"""Regular upkeep of a PostgreSQL database, most of it the deletion of old rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from itemwire.engines.base import KEY_SECONDS, ChannelBounds, EngineError
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
# Of channels whose own bounds are narrower than those that `itemwire.tidy` deletes by.
TRIM: Final = """
DELETE FROM itemwire.messages m
USING unnest($1::text[], $2::bigint[], $3::bigint[], $4::double precision[])
    AS a (name, messages, bytes, seconds), itemwire.channels c
WHERE c.name = a.name AND m.channel = c.id
    AND m.stored_at < clock_timestamp() - make_interval(secs => $5) AND (
        m."offset" <= c.last_offset - a.messages OR c.bytes - m.bytes_before > a.bytes
        OR m.stored_at < clock_timestamp() - make_interval(secs => a.seconds))
"""
TRIM_SLICE: Final = 100  # channels at once
TIDY: Final = "SELECT itemwire.tidy($1, $2, $3, $4, $5, $6, $7)"


class PostgresUpkeep:
    """This node's share of the upkeep; of all nodes, one at a time deletes."""

    def __init__(
        self, requests: PostgresRequests, bounds: ChannelBounds, subscribed: AbstractSet[str]
    ) -> None:
        self._requests = requests
        self._bounds = bounds
        self._subscribed = subscribed
        self._turn = 0
        self._problem = ""  # logged once, however long it lasts
        self._stored: set[str] = set()  # channels with rules of their own, since a while
        self._to_trim: set[str] = set()  # what was stored there is now old enough to be deleted

    def routines(self) -> Iterable[Routine]:
        """Return what is repeated from the start to the stop."""
        return [
            (TIDY_SECONDS, self._tidy_next),
            (LIVE_SECONDS, self.trim),
            (TOUCH_SECONDS, self.touch),
        ]

    def note_stored(self, channel: str) -> None:
        """Note that this node has stored a message on a channel, which may hold too many now."""
        if self._bounds.of(channel) != self._bounds.largest:
            self._stored.add(channel)

    async def touch(self) -> None:
        """Keep the channels that this node subscribes to from being deleted as idle."""
        channels = sorted(self._subscribed)
        for first in range(0, len(channels), TOUCH_SLICE):
            await self._do(TOUCH, channels[first : first + TOUCH_SLICE])

    async def tidy(self, *, with_channels: bool) -> None:
        """Delete what is beyond its bounds, and channels that nobody has used."""
        bounds = self._bounds.largest
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

    async def trim(self) -> None:
        """Delete what is beyond the own bounds of channels that this node has stored to.

        That is done once its newest messages may be deleted. A channel on which nothing follows
        may keep what is too old by its own rule, which no read returns, until `tidy` deletes it.
        """
        channels = sorted(self._to_trim)
        self._to_trim, self._stored = self._stored, set()
        for first in range(0, len(channels), TRIM_SLICE):
            part = channels[first : first + TRIM_SLICE]
            of_each = [self._bounds.of(channel) for channel in part]
            await self._do(
                TRIM,
                part,
                [one.messages for one in of_each],
                [one.bytes for one in of_each],
                [float(one.seconds) for one in of_each],
                LIVE_SECONDS,
            )

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
