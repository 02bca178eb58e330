"""Finds a pooler that changes connections between transactions: none can LISTEN there.

A node behind one was ready, and heard of messages only when it compared everything.
"""

from __future__ import annotations

import asyncio
from typing import Final

from itemwire.engines.base import UnfitEngine
from itemwire.engines.postgres.client import FROM_SERVER, AsyncpgConnection, connect

OWN_PROCESS: Final = "SELECT pg_backend_pid()"
ASKED_AGAIN: Final = f"{OWN_PROCESS} AS again"  # prepared anew, by whichever process it is
ANSWER_SECONDS: Final = 2.0

REFUSED: Final = (
    "a pooler in transaction mode is in between, behind which LISTEN hears nothing: let "
    "ITEMWIRE_ENGINE_URL lead to the server itself, or to a pool with pool_mode=session"
)


async def refuse_shared_sessions(connection: AsyncpgConnection, url: str) -> None:
    """Raise UnfitEngine if the server's process for a connection changes between transactions.

    The server itself says the number of its process when it is connected to, a pooler another. A
    pooler in session mode is told from others by a second connection, which holds a transaction
    meanwhile: a pooler in transaction mode gives it the process that the first had.
    """
    before = await _process_of(connection, OWN_PROCESS)
    if before == connection.get_server_pid():
        return
    other = await connect(url, ANSWER_SECONDS, statement_cache_size=0)
    try:
        async with other.transaction():
            held = await other.fetchval(OWN_PROCESS)
            async with asyncio.timeout(ANSWER_SECONDS):
                after = await _process_of(connection, ASKED_AGAIN)
    except (TimeoutError, FROM_SERVER):
        # A pool of one process is the other connection's for as long as its transaction lasts; and
        # a process that has never seen the first connection has none of its prepared statements.
        raise UnfitEngine(REFUSED) from None
    finally:
        other.terminate()
    if before != after or before == held:
        raise UnfitEngine(REFUSED)


async def _process_of(connection: AsyncpgConnection, query: str) -> int:
    """Return the number of the server's process, asked in a transaction of its own."""
    async with connection.transaction():
        process: int = await connection.fetchval(query)
    return process
