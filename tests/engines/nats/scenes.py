"""Scenes on the NATS engine, and looks at what is on its server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from itemwire.engines.base import Bounds
from itemwire.engines.nats.engine import NatsEngine
from tests.engines.watched import Watched, node
from tests.fakes import BOUNDS


def on(url: str, scene: Callable[[Watched], Awaitable[None]], bounds: Bounds = BOUNDS) -> None:
    """Play a scene on a started engine."""

    async def play_it() -> None:
        async with node(url, bounds) as watched:
            await scene(watched)

    asyncio.run(play_it())


def engine_of(watched: Watched) -> NatsEngine:
    """Give the engine that is watched."""
    assert isinstance(watched.engine, NatsEngine)
    return watched.engine


async def asked(watched: Watched, action: str, body: object = None) -> dict[str, Any]:
    """Ask JetStream something, of the stream of the channels unless it says otherwise."""
    engine = engine_of(watched)
    subject = f"$JS.API.STREAM.{action}"
    data = b"" if body is None else msgspec.json.encode(body)
    answer: dict[str, Any] = msgspec.json.decode(
        (await engine._connection.request(subject, data)).data
    )
    return answer


async def records(watched: Watched) -> int:
    """Count the records of the stream of the channels."""
    info = await asked(watched, f"INFO.{engine_of(watched)._names.channels}")
    return int(info["state"]["messages"])
