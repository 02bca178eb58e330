"""Asks a PostgreSQL server for what would cost messages: no writes, or no connections."""

from __future__ import annotations

from typing import Final

from itemwire.engines.base import EngineError
from itemwire.engines.postgres.client import PROBLEMS, connect
from itemwire.engines.postgres.connection import check_url, reason_of
from itemwire.engines.report import Concern, EngineReport

EXAMINE_SECONDS: Final = 5.0
PER_NODE: Final = 5  # connections
QUESTION: Final = """
SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8,
    pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',
    current_setting('max_connections')::int - (SELECT count(*) FROM pg_stat_activity)
"""

REPLICA: Final = Concern("it is a replica, which takes no writes", "name the primary", True)
READ_ONLY: Final = Concern(
    "it takes no writes (default_transaction_read_only)", "let it take writes", is_fault=True
)


async def examine(url: str) -> EngineReport:
    """Return what a server says of itself; EngineError if it says nothing."""
    check_url(url)
    try:
        connection = await connect(url, EXAMINE_SECONDS)
        try:
            version, clock, is_replica, is_read_only, left = await connection.fetchrow(QUESTION)
        finally:
            await connection.close(timeout=EXAMINE_SECONDS)
    except (EngineError, ValueError, *PROBLEMS) as error:
        raise EngineError(reason_of(error)) from None
    concerns = [REPLICA] if is_replica else [READ_ONLY] if is_read_only else []
    if left < PER_NODE:
        concerns.append(
            Concern(
                f"it takes {max(left, 0)} more connections, and each node has {PER_NODE}",
                "raise `max_connections`, or let fewer clients in",
            )
        )
    return EngineReport(f"PostgreSQL {version.partition(' ')[0]}", clock, tuple(concerns))
