"""Databases of one PostgreSQL server, each empty for one test."""

from __future__ import annotations

import asyncio
import uuid

from itemwire.engines.postgres.engine import PostgresEngine, init_store
from itemwire.messages import Draft, Position
from tests.conformance.asked_engine import answer_of
from tests.engines.watched import Watched
from tests.postgres_server import PostgresServer, execute


def new_database(server: PostgresServer, *, is_prepared: bool = True) -> str:
    """Make a database, with the schema in it, and give its URL."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(execute(server.url, f"CREATE DATABASE {name}"))
    url = f"{server.url.rpartition('/')[0]}/{name}"
    if is_prepared:
        init_store(url)
    return url


def engine_of(watched: Watched) -> PostgresEngine:
    """Give a node's engine as what it is."""
    assert isinstance(watched.engine, PostgresEngine)
    return watched.engine


async def publish_to(watched: Watched, channel: str, text: str) -> Position:
    """Publish to another channel than the one that is watched."""
    draft = Draft("43", "alice", 1.5, text)
    return await answer_of(lambda answer: watched.engine.publish(channel, draft, answer))
