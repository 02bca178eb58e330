"""Reads histories from PostgreSQL: all that is asked for in a loop tick in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, cast

from typing_extensions import override

from itemwire.engines.base import (
    Answer,
    ChannelBounds,
    EngineError,
    History,
    Span,
    read_of_nothing,
)
from itemwire.engines.callbacks import begun_in_time, tell
from itemwire.engines.faults import AWAY
from itemwire.engines.postgres.client import Row
from itemwire.engines.postgres.connection import ChannelLocked, PostgresConnection
from itemwire.engines.postgres.queue import RequestQueue
from itemwire.engines.storage_format import draft_of, unpack_retained
from itemwire.messages import Position, Publication

MAX_BATCH: Final = 32  # histories in one answer
NO_END: Final = 2**62

# One statement sees one moment, so a position and what is read with it belong together. Nodes that
# deliver live messages may be a little behind: for them the history's bounds do not apply.
KEPT: Final = """
        o.channel = c.id AND o."offset" < a.before AND (a.is_live OR (
            o."offset" > c.last_offset - a.messages AND c.bytes - o.bytes_before <= a.bytes
            AND o.stored_at > clock_timestamp() - make_interval(secs => a.seconds)))
"""
READ: Final = f"""
SELECT a.place, c.epoch || (SELECT itemwire.life()), c.last_offset,
    m."offset", m.item, m.sender, m.sent_at, m.kind, m.data,
    (SELECT v.value FROM itemwire.kept_values v WHERE a.retained AND m."offset" IS NULL
        AND v.key = 'retained:' || a.name AND v.ends_at > clock_timestamp())
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[],
        $6::bigint[], $7::bigint[], $8::double precision[], $9::boolean[]) WITH ORDINALITY
    AS a (name, after, before, most, is_live, messages, bytes, seconds, retained, place)
LEFT JOIN itemwire.channels c ON c.name = a.name
LEFT JOIN LATERAL (
    (SELECT o.* FROM itemwire.messages o WHERE a.after IS NOT NULL AND o."offset" > a.after
        AND {KEPT} ORDER BY o."offset" LIMIT a.most)
    UNION ALL
    (SELECT o.* FROM itemwire.messages o WHERE a.after IS NULL
        AND {KEPT} ORDER BY o."offset" DESC LIMIT a.most)
) m ON true
ORDER BY a.place, m."offset"
"""  # noqa: S608 - nothing in it comes from elsewhere

MakeChannel = Callable[[str, Callable[[EngineError | None], None]], None]
"""Makes a channel, so that it has a position to read; answers once it exists."""


@dataclass(slots=True, eq=False)
class PostgresRead:
    """A history to read, and the callback for it."""

    channel: str
    span: Span
    is_live: bool
    answer: Answer[History]
    asked_at: float


class PostgresHistoryReader(RequestQueue[PostgresRead]):
    """Reads histories within their bounds, though more than that may be stored."""

    def __init__(
        self, connection: PostgresConnection, bounds: ChannelBounds, make_channel: MakeChannel
    ) -> None:
        super().__init__(connection, MAX_BATCH)
        self._bounds = bounds
        self._make_channel = make_channel

    def ask(
        self, channel: str, span: Span, answer: Answer[History], *, is_live: bool = False
    ) -> None:
        """Read a part of a history; with `is_live`, of everything that is still stored."""
        now = asyncio.get_running_loop().time()
        self._put(PostgresRead(channel, span, is_live, answer, now))

    @override
    async def _serve_batch(self, batch: list[PostgresRead]) -> None:
        try:
            rows = await self._connection.fetch(READ, *_columns(batch, self._bounds))
        except ChannelLocked as locked:  # reading waits for no row: the whole table is locked
            raise EngineError(str(locked), AWAY) from None
        groups = cast("Iterable[tuple[int, Iterable[Row]]]", groupby(rows, itemgetter(0)))
        for place, group in groups:
            self._answer(batch[place - 1], list(group))

    def _answer(self, read: PostgresRead, rows: list[Row]) -> None:
        _, epoch, last, first, *_, kept = rows[0]
        if epoch is None:
            self._make_first(read)
            return
        found = [_publication_of(row) for row in rows] if first is not None else []
        position = Position(epoch, last)
        retained = None if kept is None else unpack_retained(kept, position)
        tell(read.answer, History.of(position, found, read.span, retained))

    def _make_first(self, read: PostgresRead) -> None:
        def made(problem: EngineError | None) -> None:
            if problem is None:
                self.ask(read.channel, read.span, read.answer, is_live=read.is_live)
            else:
                tell(read.answer, read_of_nothing(problem))

        self._make_channel(read.channel, begun_in_time(made, read.asked_at))


def _columns(batch: list[PostgresRead], bounds: ChannelBounds) -> tuple[list[Any], ...]:
    of_each = [bounds.of(one.channel) for one in batch]
    return (
        [one.channel for one in batch],
        [one.span.after for one in batch],
        [NO_END if one.span.before is None else one.span.before for one in batch],
        [one.span.limit for one in batch],
        [one.is_live for one in batch],
        [one.messages for one in of_each],
        [one.bytes for one in of_each],
        [float(one.seconds) for one in of_each],
        [one.span.retained for one in batch],
    )


def _publication_of(row: Row) -> Publication:
    _, _, _, offset, item, sender, sent_at, kind, data, _ = row
    return Publication.of(draft_of(item, sender, sent_at, kind, data), offset)
