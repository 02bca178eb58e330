"""Asks a Redis or Valkey server for what would cost messages: eviction, or no room."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from itemwire.engines.base import EngineError
from itemwire.engines.redis.client import RedisError, RedisPyConnection, Reply, ResponseError, Word
from itemwire.engines.redis.target import RedisTarget, urls_of
from itemwire.engines.report import Concern, EngineReport

EXAMINE_SECONDS: Final = 5.0
NEVER: Final = "noeviction"
NEARLY: Final = 0.9  # of its memory

Info = Mapping[str, str]


def _forgets(info: Info) -> bool:
    return info.get("maxmemory_policy", NEVER) != NEVER and int(info.get("maxmemory", 0)) > 0


def _has_no_bound(info: Info) -> bool:
    return info.get("maxmemory") == "0"


def _is_nearly_full(info: Info) -> bool:
    return 0 < NEARLY * int(info.get("maxmemory", 0)) < int(info.get("used_memory", 0))


def _cannot_write(info: Info) -> bool:
    states = (info.get("rdb_last_bgsave_status"), info.get("aof_last_write_status"))
    return "err" in states


def _is_replica(info: Info) -> bool:
    return info.get("role") == "slave"


CONCERNS: Final[tuple[tuple[Callable[[Info], bool], Concern], ...]] = (
    (
        _forgets,
        Concern(
            "its maxmemory-policy lets it forget items that are in use",
            "set `maxmemory-policy noeviction`",
            is_fault=True,
        ),
    ),
    (
        _has_no_bound,
        Concern(
            "it has no maxmemory: the system may end it for its memory",
            "set `maxmemory`, with `maxmemory-policy noeviction`",
        ),
    ),
    (_is_nearly_full, Concern("its memory is nearly full", "raise `maxmemory`")),
    (
        _cannot_write,
        Concern("it cannot write its file", "look at its disk and its log", is_fault=True),
    ),
    (
        _is_replica,
        Concern("it is a replica, which takes no writes", "name the primary", is_fault=True),
    ),
)
"""What is wrong where a look at INFO says so."""


async def examine(url: str) -> EngineReport:
    """Return what a server, or each of several, says of itself; EngineError if none does."""
    urls = urls_of(url)
    if len(urls) == 1:
        return await _examine(RedisTarget.of(url))
    targets = [RedisTarget.of(one) for one in urls]
    told = await asyncio.gather(*map(_examine, targets), return_exceptions=True)
    reports = [one for one in told if isinstance(one, EngineReport)]
    if not reports:
        raise EngineError("; ".join(str(one) for one in told))
    concerns = [
        concern
        for target, one in zip(targets, told, strict=True)
        for concern in _named(target.name, one)
    ]
    clocks = [one.clock for one in reports if one.clock is not None]
    versions = dict.fromkeys(one.version for one in reports)
    farthest = max(clocks, key=lambda clock: abs(clock - time.time()), default=None)
    return EngineReport(", ".join(versions), farthest, tuple(concerns))


def _named(name: str, told: EngineReport | BaseException) -> list[Concern]:
    """Return the concerns of one of several servers, with its name; that it is away is one."""
    if isinstance(told, EngineReport):
        return [replace(one, says=f"{name}: {one.says}") for one in told.concerns]
    if not isinstance(told, EngineError):
        raise told
    return [Concern(f"{name}: {told}", "look at it and the network to it", is_fault=True)]


async def _examine(target: RedisTarget) -> EngineReport:
    connection = target.maker(target.address)()
    try:
        async with asyncio.timeout(EXAMINE_SECONDS):
            await connection.connect()
            return await _report(connection)
    except (RedisError, OSError) as error:  # TimeoutError is one
        raise EngineError(str(error) or type(error).__name__) from error
    finally:
        await connection.disconnect(nowait=True)


async def _report(connection: RedisPyConnection) -> EngineReport:
    told: bytes = await _ask(connection, "INFO")
    info = dict(line.split(":", 1) for line in told.decode().splitlines() if ":" in line)
    name = "valkey" if "valkey_version" in info else "redis"
    return EngineReport(
        f"{name.capitalize()} {info.get(f'{name}_version', '')}".rstrip(),
        await _clock(connection),
        tuple(concern for finds, concern in CONCERNS if finds(info)),
    )


async def _clock(connection: RedisPyConnection) -> float | None:
    try:
        seconds, micros = await _ask(connection, "TIME")
    except ResponseError:  # this user may not ask; nodes never do
        return None
    return int(seconds) + int(micros) / 1e6


async def _ask(connection: RedisPyConnection, *words: Word) -> Reply:
    await connection.send_command(*words, check_health=False)
    return await connection.read_response(disable_decoding=True, timeout=math.inf)
