"""Notices through PostgreSQL: numbered rows; NOTIFY only says that there are new ones."""

from __future__ import annotations

from typing import Final

from typing_extensions import override

from itemwire.engines.base import Answer, Apply, EngineError
from itemwire.engines.callbacks import in_time, when_done
from itemwire.engines.notices import NoticePage, NoticeReader, StoredNotice
from itemwire.engines.postgres.client import Row
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
SELECT s.name, s.last_notice, n.id, n.notice, n.ends_at <= clock_timestamp()
FROM itemwire.store s
LEFT JOIN itemwire.notices n
    ON n.id > CASE WHEN s.name = $1 THEN $2 ELSE 0 END AND n.id <= s.last_notice
    AND (n.ends_at > clock_timestamp() OR $1 <> '')
ORDER BY n.id
"""

LATEST: Final = 1e11  # a Unix time that PostgreSQL can write


class PostgresNotices(NoticeReader):
    """The notices of one database; its store has a name, which is the epoch of their numbers."""

    def __init__(self, requests: PostgresRequests, apply: Apply) -> None:
        super().__init__(apply)
        self._requests = requests

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._requests.ask(when_done(in_time(answer)), POST, notice, min(until, LATEST))

    @override
    def _read_page(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        def have_read(rows: list[Row] | EngineError) -> None:
            answer(rows if isinstance(rows, EngineError) else _page_of(rows))

        self._requests.ask(have_read, READ, epoch, after)


def _page_of(rows: list[Row]) -> NoticePage:
    name, last, *_ = rows[0]
    notices = [
        StoredNotice(number, notice, is_over)
        for _, _, number, notice, is_over in rows
        if number is not None
    ]
    return NoticePage(name, last, notices)
