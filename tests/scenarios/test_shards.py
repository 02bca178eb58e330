"""One of three Redis servers is away: what clients, load balancers and Prometheus see of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from itemwire.engines.redis.client import slot_of
from itemwire.testing import LiveServer
from tests.redis_server import RedisServer, running_shards, url_of_all
from tests.scenarios.clients import PATIENCE, closed, json_client, many_client, plain_client, token
from tests.scenarios.nodes import METRICS_TOKEN, node, until
from tests.scenarios.processes import Started

READY = {"status": "ready"}
PART_AWAY = {"status": "degraded", "reason": "part_away", "retry": "later"}
PART_DETAIL = "The engine's server that has this item is away; ask again later."
LISTENING = "items:subscribe items:publish"
AWAY = 1  # of the three


@dataclass(frozen=True, slots=True)
class Site:
    """Two nodes, the servers that they share, and items of the second server and of another."""

    nodes: list[Started]
    servers: list[RedisServer]
    lost: str
    kept: str

    @property
    def one(self) -> LiveServer:
        """Give the first node."""
        return self.nodes[0].server

    @property
    def other(self) -> LiveServer:
        """Give the second node."""
        return self.nodes[1].server

    def is_as(self, state: dict[str, str]) -> bool:
        """Ask both nodes as a load balancer does."""
        answers = [
            httpx.get(f"{one.server.url}/health/ready", timeout=PATIENCE) for one in self.nodes
        ]
        return all(answer.status_code == 200 and answer.json() == state for answer in answers)

    def metrics(self) -> list[str]:
        """Give the lines that Prometheus reads."""
        bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        page = httpx.get(f"{self.one.url}/metrics", headers=bearer, timeout=PATIENCE)
        return page.text.splitlines()

    def is_logged(self, event: str) -> bool:
        """Tell whether both nodes say this of the server, by its host and port."""
        line = f"{event} server=127.0.0.1:{self.servers[AWAY].port}"
        return all(any(line in said for said in one.lines) for one in self.nodes)

    def publish(self, item_id: str, data: str) -> httpx.Response:
        """Publish over HTTP."""
        return httpx.post(
            f"{self.one.url}/items/{item_id}/messages",
            json=data,
            headers={"Authorization": f"Bearer {token()}"},
            timeout=PATIENCE,
        )


def item_of(number: int) -> str:
    """Find an item of a server."""
    items = (f"item-{one}" for one in range(1000))
    return next(one for one in items if slot_of(f"item:{one}") * 3 // 16384 == number)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Run it for one test."""
    with running_shards(tmp_path) as servers, contextlib.ExitStack() as stack:
        url = url_of_all(one.port for one in servers)
        nodes = [stack.enter_context(node(tmp_path, url)) for _ in range(2)]
        yield Site(nodes, servers, item_of(AWAY), item_of(AWAY + 1))


def test_a_node_that_loses_one_server_serves_the_rest(site: Site) -> None:
    """Per item: who listens stays and goes on with proof, who comes is refused until then."""
    lost, kept = site.lost, site.kept
    server = f'{{server="127.0.0.1:{site.servers[AWAY].port}"}}'
    with (
        json_client(site.other, lost, "bob", scope=LISTENING) as lost_client,
        json_client(site.other, kept, "bob", scope=LISTENING) as kept_client,
    ):
        before = kept_client.welcome["resume"]
        assert site.publish(lost, "0").status_code == site.publish(kept, "0").status_code == 201
        assert [one.messages(1)[0]["data"] for one in (lost_client, kept_client)] == ["0", "0"]
        site.servers[AWAY].kill()
        until(lambda: site.is_as(PART_AWAY))

        assert f"itemwire_engine_part_available{server} 0.0" in site.metrics()
        assert 'itemwire_degraded{fault="part_away"} 1.0' in site.metrics()
        refused = site.publish(lost, "refused")
        assert (refused.status_code, refused.json()["detail"]) == (503, "overloaded")
        said = lost_client.ask("publish", data="refused")
        assert (said["code"], said["detail"]) == ("overloaded", PART_DETAIL)
        assert site.publish(kept, "1").status_code == 201
        assert kept_client.messages(1)[0]["data"] == "1"
        check_joins(site)
        until(lambda: site.is_logged("engine_part_away"))

        site.servers[AWAY].start()
        until(lambda: site.is_as(READY))
        assert f"itemwire_engine_part_available{server} 1.0" in site.metrics()
        until(lambda: site.publish(lost, "after").status_code == 201)
        assert gap_and_message(lost_client.read) == ("gap", "after")
    check_proofs(site, before)
    until(lambda: site.is_logged("engine_part_back"))


def gap_and_message(read: object) -> tuple[str, str]:
    """Read what a subscriber of the lost server is told: that something is missing, and news."""
    assert callable(read)
    kinds: list[str] = []
    while True:
        envelope = read()
        if envelope["type"] in {"gap", "message"}:
            kinds.append(envelope["type"])
        if envelope["type"] == "message":
            return kinds[0], envelope["data"]


def check_joins(site: Site) -> None:
    """See that who comes to an item of the lost server is refused, and to another is not."""
    with plain_client(site.other, site.lost, "carol") as refused:
        assert closed(refused) == (1013, "overloaded")
    with many_client(site.other, token("carol")) as client:
        assert client.ask("join", item=site.lost)["code"] == "overloaded"
        assert client.ask("join", item=site.kept)["type"] == "welcome"
    with json_client(site.one, site.kept, "dave") as client:
        assert client.ask("publish", data="x")["type"] == "reply"


def check_proofs(site: Site, before: str) -> None:
    """See that proofs of before are good on what was kept, and new ones on what began anew."""
    with json_client(site.one, site.kept, "bob", scope=LISTENING, since=f"{before}:0") as client:
        assert client.welcome["recovered"]
        assert [one["data"] for one in client.messages(3)] == ["0", "1", "x"]
    with json_client(site.one, site.lost, "bob", scope=LISTENING) as client:
        now, offset = client.welcome["resume"], client.welcome["offset"]
    site.publish(site.lost, "while bob was away")
    since = f"{now}:{offset}"
    with json_client(site.other, site.lost, "bob", scope=LISTENING, since=since) as client:
        assert client.welcome["recovered"]
        assert client.messages(1)[0]["data"] == "while bob was away"


def test_the_lost_servers_subscribers_miss_nothing_if_it_was_only_cut_off(site: Site) -> None:
    """It stood still: what it has goes on, and nobody was closed."""
    with json_client(site.other, site.lost, "bob", scope=LISTENING) as client:
        site.publish(site.lost, "before")
        with site.servers[AWAY].paused():
            until(lambda: site.is_as(PART_AWAY))
        until(lambda: site.is_as(READY))
        until(lambda: site.publish(site.lost, "after").status_code == 201)
        try:
            assert [one["data"] for one in client.messages(2)] == ["before", "after"]
        except ConnectionClosed as error:
            raise AssertionError("a subscriber was closed") from error
