"""Notices through PostgreSQL: numbered rows; NOTIFY only says that there are new ones."""

from __future__ import annotations

from typing import Final

from typing_extensions import override

from itemwire.engines.base import Answer, Apply, EngineError
from itemwire.engines.callbacks import in_time, when_done
from itemwire.engines.notices import NoticePage, NoticeReader, StoredNotice
from itemwire.engines.postgres.client import AsyncpgConnection, Row
from itemwire.engines.postgres.requests import PostgresRequests

POST: Final = """
WITH told AS (
    UPDATE itemwire.store SET last_notice = last_notice + 1 RETURNING last_notice
)
INSERT INTO itemwire.notices (id, notice, ends_at)
SELECT last_notice, $1, to_timestamp($2) FROM told RETURNING pg_notify('itemwire', '')
"""
# A node that has just started (without an epoch) needs no notice that is over.
READ: Final = """
SELECT s.life, s.last_notice, n.id, n.notice, n.ends_at <= clock_timestamp()
FROM (SELECT itemwire.life() AS life, last_notice FROM itemwire.store) s
LEFT JOIN itemwire.notices n
    ON n.id > CASE WHEN s.life = $1 THEN $2 ELSE 0 END AND n.id <= s.last_notice
    AND (n.ends_at > clock_timestamp() OR $1 <> '')
ORDER BY n.id
"""
# Each node posts a notice every two seconds, so an older copy has fewer than the nodes have read.
# Of several nodes that find it, the first one names the life; the condition is on the row alone, as
# the others wait for it and then see it as it is. A life ends with the beginning of the name.
RENEW_LIFE: Final = """
UPDATE itemwire.store SET name = gen_random_uuid()::text
WHERE $1 LIKE '%-' || left(name, 8) AND last_notice < $2
"""

LATEST: Final = 1e11  # a Unix time that PostgreSQL can write


class PostgresNotices(NoticeReader):
    """The notices of one database, whose numbers count within a life of its store."""

    def __init__(self, requests: PostgresRequests, apply: Apply) -> None:
        super().__init__(apply)
        self._requests = requests

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._requests.ask(when_done(in_time(answer)), POST, notice, min(until, LATEST))

    async def check_life(self, connection: AsyncpgConnection) -> None:
        """Begin a new life of the store if it has gone back behind what this node has read."""
        if self._epoch:
            await connection.execute(RENEW_LIFE, self._epoch, self._number)

    @override
    def _read_page(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        def have_read(rows: list[Row] | EngineError) -> None:
            if isinstance(rows, EngineError):
                answer(rows)
                return
            page = _page_of(rows)
            if page.epoch == epoch and page.last < after:  # an older copy was put in its place
                self._requests.ask(renewed, RENEW_LIFE, epoch, after)
            else:
                answer(page)

        def renewed(rows: list[Row] | EngineError) -> None:
            if isinstance(rows, EngineError):
                answer(rows)
            else:
                self._read_page(epoch, after, answer)

        self._requests.ask(have_read, READ, epoch, after)


def _page_of(rows: list[Row]) -> NoticePage:
    life, last, *_ = rows[0]
    notices = [
        StoredNotice(number, notice, is_over)
        for _, _, number, notice, is_over in rows
        if number is not None
    ]
    return NoticePage(life, last, notices)
