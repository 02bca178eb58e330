"""The network faults contract where all of several Redis servers fail together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import cast

import pytest
from typing_extensions import override

from itemwire.engines.redis import engine as redis_engine
from itemwire.engines.redis.shards import RedisShards
from tests.conformance.network_faults_contract import NetworkFaultsContract
from tests.engines.redis.shard_scene import proxied_shards
from tests.engines.watched import Watched
from tests.fakes import CHANNEL
from tests.proxy import Proxy
from tests.redis_server import (
    Together,
    all_entered,
    running_shards,
)


class Proxies:
    """A proxy before each server, as far as the contract uses one."""

    def __init__(self, each: Sequence[Proxy]) -> None:
        self._each = each

    @property
    def dead(self) -> int:
        """Count the connections that are dead and that no client has ended yet."""
        return sum(one.dead for one in self._each)

    def cut(self) -> None:
        """Break every connection."""
        for one in self._each:
            one.cut()

    def lose_ends(self) -> None:
        """End every connection to a server; no client is told."""
        for one in self._each:
            one.lose_ends()

    def freeze(self) -> None:
        """Pass nothing on."""
        for one in self._each:
            one.freeze()

    def halve(self) -> None:
        """Let every connection freeze in the middle of its next answer."""
        for one in self._each:
            one.halve()

    def say(self, words: bytes) -> None:
        """Tell every client this in the server's name."""
        for one in self._each:
            one.say(words)

    def away(self) -> AbstractContextManager[None]:
        """Break every connection, and every new one."""
        return all_entered([one.away for one in self._each])

    def closed(self) -> AbstractContextManager[None]:
        """Break every new connection."""
        return all_entered([one.closed for one in self._each])

    def silent(self) -> AbstractContextManager[None]:
        """Pass nothing on, and keep every connection open."""
        return all_entered([one.silent for one in self._each])

    @contextlib.contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Hold up each piece for so long."""
        with ExitStack() as stack:
            for one in self._each:
                stack.enter_context(one.delayed(seconds))
            yield


class TestNetworkFaults(NetworkFaultsContract):
    """Three servers that keep nothing, with all nodes on the same way to them."""

    module = redis_engine
    epochs_go_on = False
    last_words = b"-ERR max number of clients reached\r\n"

    @pytest.fixture(autouse=True)
    def _take_servers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(redis_engine, "CHECK_SECONDS", 1000)
        # A proxy has another port, which is another list: here they are the same servers.
        monkeypatch.setattr("itemwire.engines.redis.opening.list_of", lambda _names: "shards")
        with running_shards(tmp_path) as servers:
            self.servers = servers
            self.server = Together(servers)
            self.url = self.server.url
            yield

    @contextlib.contextmanager
    @override
    def proxied(self) -> Iterator[tuple[Proxy, str]]:
        with proxied_shards(self.servers) as (proxies, url):
            yield cast("Proxy", Proxies(proxies)), url

    @override
    async def deafen(self, watched: Watched) -> None:
        assert isinstance(watched.engine, RedisShards)
        shard = watched.engine._shard_of(CHANNEL)
        shard._servers.leave(shard._keys(CHANNEL).live)
