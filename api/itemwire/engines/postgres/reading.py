"""What is read from PostgreSQL: all that is asked for in a loop tick in one statement."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from typing_extensions import override

from itemwire.engines.base import Answer, Bounds, EngineError, History, Span
from itemwire.engines.callbacks import tell
from itemwire.engines.postgres.link import PostgresConnection
from itemwire.engines.postgres.queue import RequestQueue
from itemwire.engines.storage_format import payload_of
from itemwire.messages import Draft, Position, Publication

MAX_BATCH: Final = 32  # histories in one answer
NO_END: Final = 2**62

# One statement sees one moment: the position and what is read are of the same. The bounds are not
# for nodes that deliver live: they may be a little behind.
KEPT: Final = """
        o.channel = c.id AND o."offset" < a.before AND (a.is_live OR (
            o."offset" > c.last_offset - $6 AND c.bytes - o.bytes_before <= $7
            AND o.stored_at > clock_timestamp() - make_interval(secs => $8)))
"""
READ: Final = f"""
SELECT a.place, c.epoch || itemwire.life(), c.last_offset,
    m."offset", m.item, m.sender, m.sent_at, m.kind, m.data
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::boolean[]) WITH ORDINALITY
    AS a (name, after, before, most, is_live, place)
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

Make = Callable[[str, Callable[[EngineError | None], None]], None]
"""Makes a channel, so that it has a position to read; answers once it is there."""


class PostgresRead(NamedTuple):
    """A history that somebody waits for."""

    channel: str
    span: Span
    is_live: bool
    answer: Answer[History]


class PostgresHistoryReader(RequestQueue[PostgresRead]):
    """Reads histories within the bounds, whatever is stored beyond them."""

    def __init__(self, link: PostgresConnection, bounds: Bounds, make: Make) -> None:
        super().__init__(link, MAX_BATCH)
        self._bounds = (bounds.messages, bounds.bytes, float(bounds.seconds))
        self._make = make

    def ask(
        self, channel: str, span: Span, answer: Answer[History], *, is_live: bool = False
    ) -> None:
        """Read a part of a history; live, of all that is still there."""
        self._put(PostgresRead(channel, span, is_live, answer))

    @override
    async def _do(self, batch: list[PostgresRead]) -> None:
        rows = await self._link.fetch(READ, *_columns(batch), *self._bounds)
        for place, group in groupby(rows, itemgetter(0)):
            self._answer(batch[place - 1], list(group))

    def _answer(self, asked: PostgresRead, rows: list[Any]) -> None:
        _, epoch, last, first, *_ = rows[0]
        if epoch is None:
            self._make_first(asked)
            return
        found = [_publication_of(row) for row in rows] if first is not None else []
        tell(asked.answer, History.of(Position(epoch, last), found, asked.span))

    def _make_first(self, asked: PostgresRead) -> None:
        def made(problem: EngineError | None) -> None:
            if problem is None:
                self.ask(asked.channel, asked.span, asked.answer, is_live=asked.is_live)
            else:
                tell(asked.answer, problem)

        self._make(asked.channel, made)


def _columns(batch: list[PostgresRead]) -> tuple[list[Any], ...]:
    return (
        [asked.channel for asked in batch],
        [asked.span.after for asked in batch],
        [NO_END if asked.span.before is None else asked.span.before for asked in batch],
        [asked.span.limit for asked in batch],
        [asked.is_live for asked in batch],
    )


def _publication_of(row: Any) -> Publication:  # noqa: ANN401 - the client is untyped
    _, _, _, offset, item, sender, sent_at, kind, data = row
    # What nobody can have written must not stop the reading of all the rest.
    payload = payload_of(kind, data, "replace")
    return Publication.of(Draft(item, sender, sent_at, payload), offset)
