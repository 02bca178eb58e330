"""Opens the Redis engine that a URL names: one server, a cluster, or several servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from itemwire.engines.base import ChannelBounds, Engine
from itemwire.engines.redis.engine import RedisEngine
from itemwire.engines.redis.shard import RedisShard
from itemwire.engines.redis.shards import RedisShards
from itemwire.engines.redis.target import RedisTarget, urls_of
from itemwire.engines.urls import hide_password


def open_engine(url: str, bounds: ChannelBounds) -> Engine:
    """Return an engine for a URL of one of the schemes in `target.py`, not yet connected."""
    urls = urls_of(url)
    if len(urls) == 1:
        return RedisEngine(RedisTarget.of(url), bounds)
    targets = [RedisTarget.of(one) for one in urls]
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise ValueError("ITEMWIRE_ENGINE_URL names a server twice")
    servers = list_of(names)
    shards = [RedisShard(replace(target, servers=servers), bounds) for target in targets]
    return RedisShards(shards, hide_password(url))


def list_of(names: Sequence[str]) -> str:
    """Return what tells one list of servers from another, or from another order."""
    return sha256(",".join(names).encode()).hexdigest()[:12]
