"""The schema that the engine needs in a PostgreSQL database, made by one command."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from itemwire.engines.base import EngineError
from itemwire.engines.postgres.client import AsyncpgConnection

VERSION: Final = 2
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('itemwire.init'))"
IS_THERE: Final = "SELECT to_regclass('itemwire.store') IS NOT NULL"
FIND_VERSION: Final = "SELECT version FROM itemwire.store"

# The rights that a node needs on every table. Asking for them here makes the start fail, with
# advice, rather than the first publish.
FIND_MISSING: Final = """
SELECT quote_ident(current_user), string_agg(DISTINCT needed, ', ')
FROM pg_tables, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) needed
WHERE schemaname = 'itemwire'
    AND NOT has_table_privilege(format('itemwire.%I', tablename), needed)
"""


async def version_of(connection: AsyncpgConnection) -> int:
    """Return the version of the schema; 0 if there is none."""
    if not await connection.fetchval(IS_THERE):
        return 0
    version: int = await connection.fetchval(FIND_VERSION)
    return version


async def check_schema(connection: AsyncpgConnection) -> None:
    """Check that this release works with the schema; EngineError says what to do if not."""
    version = await version_of(connection)
    if version == 0:
        raise EngineError("the database has no Itemwire schema: run `itemwire engine init` once")
    if version < VERSION:
        raise EngineError(
            f"its Itemwire schema has version {version}, and this release needs {VERSION}: run "
            "`itemwire engine init`"
        )
    if version > VERSION:
        raise EngineError(
            f"its Itemwire schema has version {version}, and this release knows {VERSION}: "
            "install the release that made it, or a newer one"
        )
    user, missing = await connection.fetchrow(FIND_MISSING)
    if missing:
        raise EngineError(
            f"the user {user} has no right to {missing} in the schema: run `GRANT SELECT, INSERT, "
            f"UPDATE, DELETE ON ALL TABLES IN SCHEMA itemwire TO {user}`"
        )


async def init_schema(connection: AsyncpgConnection) -> int:
    """Bring the schema up to date, all or nothing; return the version that was there before."""
    async with connection.transaction():
        await connection.execute(LOCK)  # several nodes may be deployed at once
        before = await version_of(connection)
        if before > VERSION:
            await check_schema(connection)
        for version in range(before + 1, VERSION + 1):
            script = files("itemwire.engines.postgres").joinpath(f"schema_{version}.sql")
            await connection.execute(script.read_text("utf-8"))
            await connection.execute("UPDATE itemwire.store SET version = $1", version)
    return before
