"""A store that takes no writes, as clients, load balancers and Prometheus see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import httpx
import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from tests.conftest import SECRET
from tests.redis_server import RedisServer, running_redis
from tests.scenarios.clients import (
    PATIENCE,
    closed,
    json_client,
    many_client,
    plain_client,
    token,
)
from tests.scenarios.nodes import FELT_SECONDS, METRICS_TOKEN, until


class State(NamedTuple):
    """A state of the store: how it begins and ends, and what is said of it."""

    begin: str
    end: str
    name: str
    retry: str
    reason: str
    code: int
    status: int


STATES: Final = [
    pytest.param(
        State(
            "CONFIG SET maxmemory 1",
            "CONFIG SET maxmemory 0",
            *("full", "later", "overloaded", 1013, 503),
        ),
        id="not-now",
    ),
    pytest.param(
        State(
            "ACL SETUSER default -hset -set",
            "ACL SETUSER default +hset +set",
            *("forbidden", "never", "store_refused", 1011, 500),
        ),
        id="never",
    ),
]


@dataclass(frozen=True, slots=True)
class Site:
    """A server, and the one that it stores on."""

    server: LiveServer
    redis: RedisServer

    def ready(self) -> tuple[int, dict[str, str]]:
        """Ask as a load balancer does."""
        answer = httpx.get(f"{self.server.url}/health/ready", timeout=PATIENCE)
        return answer.status_code, answer.json()

    def degraded(self) -> list[str]:
        """Return the faults that Prometheus sees."""
        bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        page = httpx.get(f"{self.server.url}/metrics", headers=bearer, timeout=PATIENCE).text
        begin, end = 'itemwire_degraded{fault="', '"} 1.0'
        found = [line for line in page.splitlines() if line.startswith(begin)]
        return [line.removeprefix(begin)[: -len(end)] for line in found if line.endswith(end)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run both for the tests of this file."""
    with running_redis(tmp_path_factory.mktemp("redis")) as redis:
        settings = Settings(
            secret=SECRET, engine_url=redis.url, metrics_token=METRICS_TOKEN, _env_file=None
        )
        with live_server(settings) as server:
            yield Site(server, redis)


@pytest.mark.parametrize("state", STATES)
def test_a_store_that_takes_no_writes_is_degraded_and_says_whether_it_passes(
    site: Site, item_id: str, state: State
) -> None:
    """Publishers hear it on every way, others go on, its end is seen (requirements 134, 144)."""
    server, bearer = site.server, {"Authorization": f"Bearer {token()}"}
    message = f"{server.url}/items/{item_id}/messages"
    refusal = (state.reason, state.retry == "later")
    with json_client(server, item_id) as alice, plain_client(server, "plain") as bob:
        alice.ask("publish", data="before")
        bob.send("before")
        assert bob.recv(PATIENCE) == "before"  # has joined: nothing else tells a plain client
        site.redis.ask(state.begin)

        error = alice.ask("publish", data="in vain")
        assert (error["code"], error["temporary"]) == refusal
        degraded = {"status": "degraded", "reason": state.name, "retry": state.retry}
        assert site.ready() == (200, degraded)
        assert site.degraded() == [state.name]
        bob.send("in vain")
        assert closed(bob) == (state.code, state.reason)
        posted = httpx.post(message, json="in vain", headers=bearer, timeout=PATIENCE)
        assert (posted.status_code, posted.json()["code"]) == (state.status, state.reason)
        assert ("Retry-After" in posted.headers) == (state.retry == "later")
        batch = {"messages": [{"item": item_id, "data": "in vain"}]}
        url = f"{server.url}/messages"
        (result,) = httpx.post(url, json=batch, headers=bearer, timeout=PATIENCE).json()["results"]
        assert (result["code"], result["temporary"]) == refusal
        assert result["detail"] == error["detail"]

        assert [one["data"] for one in alice.ask("history")["messages"]] == ["before"]
        with many_client(server) as carol:
            assert carol.ask("join", item=f"{item_id}:new")["offset"] == 0

        site.redis.ask(state.end)
        until(lambda: site.ready() == (200, {"status": "ready"}), FELT_SECONDS)
        assert site.degraded() == []
        assert alice.ask("publish", data="after")["offset"] == 2
