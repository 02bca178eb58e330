"""Requests to PostgreSQL of one statement each: values, notices, and upkeep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.postgres.client import Row
from itemwire.engines.postgres.connection import PostgresConnection
from itemwire.engines.postgres.queue import RequestQueue

PUT: Final = """
INSERT INTO itemwire.kept_values (key, value, ends_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (key) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at
"""
TAKE: Final = """
DELETE FROM itemwire.kept_values WHERE key = $1
RETURNING CASE WHEN ends_at > clock_timestamp() THEN value END
"""
ERASE: Final = """
WITH forgotten AS (DELETE FROM itemwire.kept_values WHERE key = 'retained:' || $1)
DELETE FROM itemwire.messages m USING itemwire.channels c WHERE c.name = $1 AND m.channel = c.id
"""
FIND_SECRET: Final = "SELECT value FROM itemwire.kept_values WHERE key = 'itemwire.secret'"  # noqa: S105
# Of several nodes that make one at once, the first wins, and the others are answered its secret.
MAKE_SECRET: Final = """
INSERT INTO itemwire.kept_values (key, value, ends_at) VALUES ('itemwire.secret', $1, 'infinity')
ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING value
"""  # noqa: S105 - a statement

TakeRows = Callable[[list[Row] | EngineError], None]


@dataclass(slots=True, eq=False)
class PostgresStatement:
    """A statement, and the callback for its rows."""

    answer: TakeRows
    query: str
    values: tuple[object, ...]


class PostgresRequests(RequestQueue[PostgresStatement]):
    """Runs one statement after the other."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, 1)

    def ask(self, answer: TakeRows, query: str, *values: object) -> None:
        """Run a statement; answer once, however late."""
        self._put(PostgresStatement(answer, query, values))

    @override
    async def _serve_batch(self, batch: list[PostgresStatement]) -> None:
        for one in batch:
            tell(one.answer, await self._connection.fetch(one.query, *one.values))
