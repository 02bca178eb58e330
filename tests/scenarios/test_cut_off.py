"""A node that cannot reach its engine while the other nodes can."""

from __future__ import annotations

from pathlib import Path

import pytest

from itemwire.channels.cluster import cut_off
from itemwire.settings import Settings
from tests.proxy import Proxy
from tests.redis_server import running_redis
from tests.scenarios.clients import closed, json_client
from tests.scenarios.conftest import Serve


def test_a_client_of_a_deaf_node_goes_on_at_another_and_misses_nothing(
    serve: Serve, settings: Settings, tmp_path: Path, item_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told so, after some time, and what it missed is there (requirement 141)."""
    monkeypatch.setattr(cut_off, "CUT_OFF_TICKS", 1)
    with running_redis(tmp_path) as redis, Proxy(redis.port).running() as proxy:
        through = redis.url.replace(str(redis.port), str(proxy.port))
        with (
            serve(settings.model_copy(update={"engine_url": through})) as deaf,
            serve(settings.model_copy(update={"engine_url": redis.url})) as whole,
            json_client(deaf, item_id) as cut,
            json_client(whole, item_id, "bob") as publisher,
        ):
            since = "{epoch}:{offset}".format(**cut.welcome)
            with proxy.away():
                publisher.ask("publish", data="missed")
                end = closed(cut.connection)
            with json_client(whole, item_id, since=since) as again:
                heard = [one["data"] for one in again.messages(1)]

    assert end == (1013, "overloaded")
    assert again.welcome["recovered"]
    assert heard == ["missed"]
