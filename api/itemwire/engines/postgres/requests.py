"""What is asked of PostgreSQL one at a time: values, notices, and what keeps it in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from typing_extensions import override

from itemwire.engines.base import Apply, EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.postgres.link import PostgresConnection
from itemwire.engines.postgres.queue import RequestQueue

RETRY_SECONDS: Final = 0.5

POST: Final = """
WITH told AS (
    UPDATE itemwire.store SET last_notice = last_notice + 1 RETURNING last_notice
)
INSERT INTO itemwire.notices (id, notice, ends_at)
SELECT last_notice, $1, to_timestamp($2) FROM told RETURNING pg_notify('itemwire', '')
"""
FIND_NOTICES: Final = """
SELECT s.name, s.last_notice, n.notice FROM itemwire.store s
LEFT JOIN itemwire.notices n
    ON n.id > $1 AND n.id <= s.last_notice AND (n.ends_at > clock_timestamp() OR $2)
ORDER BY n.id
"""
PUT: Final = """
INSERT INTO itemwire.kept_values (key, value, ends_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (key) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at
"""
TAKE: Final = """
DELETE FROM itemwire.kept_values WHERE key = $1
RETURNING CASE WHEN ends_at > clock_timestamp() THEN value END
"""

LATEST: Final = 1e11  # a Unix time that PostgreSQL can write

Answered = Callable[[list[Any] | EngineError], None]


class PostgresStatement(NamedTuple):
    """A statement that somebody waits for."""

    answer: Answered
    query: str
    values: tuple[object, ...]


class PostgresRequests(RequestQueue[PostgresStatement]):
    """Asks one thing after the other."""

    def __init__(self, link: PostgresConnection) -> None:
        super().__init__(link, 1)

    def ask(self, answer: Answered, query: str, *values: object) -> None:
        """Ask; answer once, however late."""
        self._put(PostgresStatement(answer, query, values))

    @override
    async def _do(self, batch: list[PostgresStatement]) -> None:
        for asked in batch:
            tell(asked.answer, await self._link.fetch(asked.query, *asked.values))


class PostgresNotices:
    """Hands on each notice in order, those first that were kept when this node started."""

    def __init__(self, requests: PostgresRequests, apply: Apply) -> None:
        self._requests = requests
        self._apply = apply
        self._store = ""  # no store has that name
        self._seen = 0
        self._is_asking = False
        self._is_due = False

    def check(self, checked: Callable[[EngineError | None], None] | None = None) -> None:
        """Look for notices that are new here."""
        if self._is_asking:
            self._is_due = True
            return
        self._is_asking = True

        def found(rows: list[Any] | EngineError) -> None:
            self._is_asking = False
            problem = rows if isinstance(rows, EngineError) else None
            if not isinstance(rows, EngineError):
                self._take(rows)
            elif checked is None and self._requests.is_running:
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self.check)
            if self._is_due and problem is None:
                self._is_due = False
                self.check()
            if checked is not None:
                checked(problem)

        self._requests.ask(found, FIND_NOTICES, self._seen, bool(self._store))

    def _take(self, rows: list[Any]) -> None:
        store, last, _ = rows[0]
        if self._store and store != self._store:
            self._store, self._seen = "", 0  # begun anew: all of it is new here
            self._is_due = True
            return
        self._store, self._seen = store, last
        for _, _, notice in rows:
            if notice is not None:
                self._apply(notice)
