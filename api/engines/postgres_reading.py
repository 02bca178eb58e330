"""What is read from PostgreSQL: all that is asked for in a loop tick in one statement."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from api.engines.base import Answer, Bounds, EngineError, History, Span
from api.engines.postgres_link import Link, tell
from api.engines.postgres_publishing import payload_of
from api.messages import Draft, Position, Publication

MAX_WAITING: Final = 10_000
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


class Asked(NamedTuple):
    """A history that somebody waits for."""

    channel: str
    span: Span
    is_live: bool
    answer: Answer[History]


class Reading:
    """Reads histories within the bounds, whatever is stored beyond them."""

    def __init__(self, link: Link, bounds: Bounds, make: Make) -> None:
        self._link = link
        self._bounds = (bounds.messages, bounds.bytes, float(bounds.seconds))
        self._make = make
        self._waiting: deque[Asked] = deque()
        self._is_asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether it reads what is asked."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """Read no more; whoever waits is told."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._fail(list(self._waiting), EngineError("the engine was stopped"))
        self._waiting.clear()

    def ask(
        self, channel: str, span: Span, answer: Answer[History], *, is_live: bool = False
    ) -> None:
        """Read a part of a history; live, of all that is still there."""
        if self._task is None or not self._link.is_connected:
            answer(EngineError("the engine is away"))
        elif len(self._waiting) >= MAX_WAITING:
            answer(EngineError("more waits for the engine than there is room for"))
        else:
            self._waiting.append(Asked(channel, span, is_live, answer))
            self._is_asked.set()

    async def _serve(self) -> None:
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            while self._waiting:
                count = min(len(self._waiting), MAX_BATCH)
                batch = [self._waiting.popleft() for _ in range(count)]
                try:
                    rows = await self._link.fetch(READ, *_columns(batch), *self._bounds)
                except EngineError as error:
                    self._fail(batch, error)
                except asyncio.CancelledError:
                    self._fail(batch, EngineError("the engine was stopped"))
                    raise
                else:
                    for place, group in groupby(rows, itemgetter(0)):
                        self._answer(batch[place - 1], list(group))

    def _answer(self, asked: Asked, rows: list[Any]) -> None:
        _, epoch, last, first, *_ = rows[0]
        if epoch is None:
            self._make_first(asked)
            return
        found = [_publication_of(row) for row in rows] if first is not None else []
        after = asked.span.after or 0
        before = last + 1 if asked.span.before is None else min(asked.span.before, last + 1)
        is_complete = len(found) == max(before - after - 1, 0)
        tell(asked.answer, History(Position(epoch, last), found, is_complete))

    def _make_first(self, asked: Asked) -> None:
        def made(problem: EngineError | None) -> None:
            if problem is None:
                self.ask(asked.channel, asked.span, asked.answer, is_live=asked.is_live)
            else:
                asked.answer(problem)

        self._make(asked.channel, made)

    def _fail(self, batch: list[Asked], error: EngineError) -> None:
        for asked in batch:
            tell(asked.answer, error)


def _columns(batch: list[Asked]) -> tuple[list[Any], ...]:
    return (
        [asked.channel for asked in batch],
        [asked.span.after for asked in batch],
        [NO_END if asked.span.before is None else asked.span.before for asked in batch],
        [asked.span.limit for asked in batch],
        [asked.is_live for asked in batch],
    )


def _publication_of(row: Any) -> Publication:  # noqa: ANN401 - the client is untyped
    _, _, _, offset, item, sender, sent_at, kind, data = row
    return Publication.of(Draft(item, sender, sent_at, payload_of(kind, data)), offset)
