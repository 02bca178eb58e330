"""The socket of the figures, and the lists of two nodes, on servers as operators run them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, PATIENCE, closed, json_client, token
from tests.scenarios.conftest import Serve, Timed, serve_timed
from tests.scenarios.nodes import MAX_SOCKETS, node, until
from tests.stress.engines import ENGINE_SERVERS
from tests.timing import BUSY_SECONDS

WATCH: Final = "/admin/ops/ws"
ORIGIN: Final = "https://ops.example.com"


def admin(subject: str = "root", scope: str = "admin") -> dict[str, str]:
    """Give the header of an administrator."""
    return {"Authorization": f"Bearer {token(subject, scope)}"}


def ask(server: LiveServer, path: str, method: str = "GET", **more: Any) -> Any:  # noqa: ANN401 - JSON
    """Ask the admin API."""
    url = f"{server.url}/admin/{path}"
    answer = httpx.request(method, url, headers=admin(), timeout=PATIENCE, **more)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def ask_all(server: LiveServer, path: str) -> Any:  # noqa: ANN401 - JSON
    """Ask until every node has answered in time, as on a busy machine some do not."""
    pages: list[Any] = []

    def is_whole() -> bool:
        pages.append(ask(server, path))
        return not pages[-1]["missing"]

    until(is_whole)
    return pages[-1]


def frames(server: LiveServer, count: int, path: str) -> list[dict[str, Any]]:
    """Watch, and give the first frames."""
    with server.connect(path) as socket:
        return [json.loads(socket.recv(timeout=PATIENCE)) for _ in range(count)]


@pytest.fixture(scope="module")
def watched_server(serve: Serve) -> Iterator[Timed]:
    """Run a server with the admin API, with our protocol classes and with uvicorn's."""
    settings = Settings(secret=SECRET, admin=True, allowed_origins=(ORIGIN,), _env_file=None)
    with serve_timed(serve, settings) as running:
        yield running


@pytest.fixture
def watched(watched_server: Timed) -> Iterator[Timed]:
    """Give each test that server at the machine's time."""
    yield watched_server
    watched_server.clock.reset()


def test_sends_the_hour_and_then_the_figures_of_each_second(watched: Timed) -> None:
    """To a page, which knows no other way than the URL."""
    hour, first, second = frames(watched.server, 3, f"{WATCH}?token={token('root', 'admin')}")

    (node_id,) = hour["nodes"]
    assert (hour["type"], hour["step_s"]) == ("hour", 10)
    assert [first["type"], second["type"]] == ["sample", "sample"]
    assert second["at"] > first["at"]
    assert [one["node"] for one in second["nodes"]] == [node_id]
    own = {name: value for name, value in second["nodes"][0].items() if name != "node"}
    assert second["sum"] == own
    assert set(own) == set(ask(watched.server, "stats")["sum"])
    assert own["connections"] >= 1


def ticket_of(server: LiveServer, subject: str, scope: str) -> str:
    """Make a ticket."""
    answer = httpx.post(
        f"{server.url}/auth/tickets", headers=admin(subject, scope), json={}, timeout=PATIENCE
    )
    return str(answer.json()["ticket"])


@pytest.mark.parametrize("scope", ["admin", EVERYTHING])
@pytest.mark.parametrize("way", ["token", "ticket", "subprotocol", "header", "cookie"])
def test_lets_administrators_in_however_they_come(way: str, scope: str, watched: Timed) -> None:
    """By every way to an item's socket; a user's credential is refused in each of them."""
    server, credential = watched.server, token("root", scope)
    headers: dict[str, str]
    offered: tuple[str, ...]
    query, headers, offered = "", {}, ("itemwire.v1.plain",)
    if way == "token":
        query = f"?token={credential}"
    elif way == "ticket":
        query = f"?ticket={ticket_of(server, 'root', scope)}"
    elif way == "subprotocol":
        offered = (*offered, f"itemwire.token.{credential}")
    elif way == "header":
        headers = {"Authorization": f"Bearer {credential}"}
    else:
        headers = {"Cookie": f"session={credential}", "Origin": ORIGIN}
    if scope == "admin":
        with server.connect(WATCH + query, headers=headers, subprotocols=offered) as socket:
            assert json.loads(socket.recv(timeout=PATIENCE))["type"] == "hour"
            assert socket.subprotocol == "itemwire.v1.plain"
    else:
        refusal = server.refusal(WATCH + query, headers=headers, subprotocols=offered)
        assert refusal.reason == "scope_missing"


def test_a_foreign_page_watches_nothing(watched: Timed) -> None:
    """Its browser adds the cookie of the operator by itself."""
    cookie = {"Cookie": f"session={token('root', 'admin')}", "Origin": "https://evil.example"}

    assert watched.server.refusal(WATCH, headers=cookie).reason == "origin_denied"
    assert watched.server.refusal(WATCH).reason == "credentials_missing"


def test_ends_when_the_login_of_the_operator_does(watched: Timed) -> None:
    """By its expiry, and by its revocation, as every socket."""
    with watched.server.connect(f"{WATCH}?token={token('root', 'admin')}") as socket:
        socket.recv(timeout=PATIENCE)
        ask(watched.server, "subjects/root/connections", "DELETE")
        revoked = closed(socket)
    with watched.server.connect(f"{WATCH}?token={token('root', 'admin', lifetime=60)}") as socket:
        socket.recv(timeout=PATIENCE)
        watched.clock.advance(1000)
        expired = closed(socket)

    assert (revoked[1], expired[1]) == ("token_revoked", "token_expired")


def test_is_not_there_where_nobody_administers(server: LiveServer) -> None:
    """Nothing tells it from a path that does not exist."""
    path = f"{WATCH}?token={token('root', 'admin')}"

    assert server.refusal(path) == server.refusal("/admin/nothing")


@pytest.mark.parametrize(
    ("path", "codec"),
    [
        ("/items/42/ws", "plain"),
        ("/ws", "json"),
        ("/ws/echo", "plain"),
        (WATCH, "plain"),
        ("/items/42/events", "events"),
    ],
)
def test_lists_every_kind_of_connection(path: str, codec: str, watched: Timed) -> None:
    """With its codec and its address, a stream over HTTP too."""
    server, headers = watched.server, admin(codec, f"admin {EVERYTHING}")
    with ExitStack() as stack:
        if path.endswith("events"):
            url = f"{server.url}{path}"
            stack.enter_context(httpx.stream("GET", url, headers=headers, timeout=PATIENCE))
        else:
            stack.enter_context(server.connect(path, headers=headers))
        until(lambda: len(ask(server, f"connections?subject={codec}")["connections"]) == 1)
        (found,) = ask(server, f"connections?subject={codec}")["connections"]
    until(lambda: not ask(server, f"connections?subject={codec}")["connections"])

    assert (found["codec"], found["address"]) == (codec, "127.0.0.1")
    assert found["items"] == (["42"] if "items" in path else [])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nodes on one engine."""

    first: LiveServer
    second: LiveServer
    folder: Path
    url: str


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run two nodes on Redis."""
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        url = stack.enter_context(ENGINE_SERVERS["redis"](folder)).process.url
        servers = [stack.enter_context(node(folder, url)).server for _ in range(2)]
        until(lambda: all(len(ask(one, "nodes")["nodes"]) == 2 for one in servers))
        yield Pair(servers[0], servers[1], folder, url)


def test_every_node_lists_the_channels_of_all(pair: Pair, item_id: str) -> None:
    """Added up, whichever is asked."""
    with (
        json_client(pair.first, item_id, scope=EVERYTHING) as alice,
        json_client(pair.second, item_id, "bob"),
        json_client(pair.second, f"{item_id}:more", "bob"),
    ):
        alice.ask("publish", data="x")
        pages = [ask_all(one, f"channels?pattern={item_id}") for one in (pair.first, pair.second)]
        below = ask_all(pair.first, f"channels?pattern={item_id}:*")
        look = ask_all(pair.first, f"channels/{item_id}")

    for page in pages:
        (channel,) = page["channels"]
        assert (channel["item"], channel["listeners"], channel["nodes"]) == (item_id, 2, 2)
        assert (channel["offset"], channel["members"]) == (1, 2)
        assert (len(page["nodes"]), page["missing"], page["next"]) == (2, [], None)
    assert [one["item"] for one in below["channels"]] == [f"{item_id}:more"]
    assert sorted(look["by_node"].values()) == [1, 1]
    assert (look["history"]["length"], look["history"]["bytes"]) == (1, 1)


def test_every_node_lists_the_connections_of_all(pair: Pair, item_id: str) -> None:
    """Of one subject, on whichever node each is."""
    with (
        json_client(pair.first, item_id, item_id),
        json_client(pair.second, item_id, item_id),
        json_client(pair.second, item_id, "another"),
    ):
        page = ask_all(pair.first, f"connections?subject={item_id}")
        one = ask_all(pair.second, f"connections?subject={item_id}&limit=1")
        rest = ask_all(pair.second, f"connections?subject={item_id}&limit=1&after={one['next']}")

    assert len({found["node"] for found in page["connections"]}) == 2
    turned = [*one["connections"], *rest["connections"]]
    assert [found["id"] for found in turned] == [found["id"] for found in page["connections"]]
    assert rest["next"] is None
    for found in page["connections"]:
        assert (found["items"], found["item_count"], found["codec"]) == ([item_id], 1, "json")
        assert (found["lag"], found["outbox_bytes"], found["address"]) == (0, 0, "127.0.0.1")


def test_a_watcher_gets_the_figures_of_all_nodes(pair: Pair) -> None:
    """The hour of each at once, and each second what all of them do."""
    nodes = {one["node"] for one in ask(pair.first, "nodes")["nodes"]}
    with pair.first.connect(f"{WATCH}?token={token('root', 'admin')}") as socket:
        hour = json.loads(socket.recv(timeout=PATIENCE))
        seen: set[str] = set()

        def sees_both() -> bool:
            seen.clear()
            seen.update(one["node"] for one in json.loads(socket.recv(timeout=PATIENCE))["nodes"])
            return seen == nodes

        until(sees_both)

    assert set(hour["nodes"]) == nodes


def test_an_emptied_history_is_told_to_who_resumes(pair: Pair, item_id: str) -> None:
    """Those who listen miss nothing; whoever comes back from before is told that it does."""
    with (
        json_client(pair.first, item_id, scope=EVERYTHING) as alice,
        json_client(pair.second, item_id, "bob") as bob,
    ):
        for number in range(3):
            alice.ask("publish", data=str(number))
        ask(pair.second, f"channels/{item_id}/history", "DELETE")
        ask(pair.first, f"channels/{item_id}/messages", "POST", json="after")
        heard = [bob.read() for _ in range(4)]
        epoch = alice.welcome["epoch"]
        with json_client(pair.first, item_id, "carol", since=f"{epoch}:1") as carol:
            recovered = carol.welcome["recovered"]
        with json_client(pair.first, item_id, "carol", since=f"{epoch}:3") as carol:
            continued = carol.welcome["recovered"], carol.read()["data"]

    assert [(one["offset"], one["data"]) for one in heard] == [
        (1, "0"),
        (2, "1"),
        (3, "2"),
        (4, "after"),
    ]
    assert heard[-1]["sender"] == "root"
    assert recovered is False
    assert continued == (True, "after")


def test_a_node_that_was_killed_is_missing_and_then_forgotten(pair: Pair) -> None:
    """The others are listed all the same, a second later at most."""
    with node(pair.folder, pair.url) as victim:
        until(lambda: len(ask(pair.first, "nodes")["nodes"]) == 3)
        (gone,) = [
            one["node"]
            for one in ask(pair.first, "nodes")["nodes"]
            if one["pid"] == victim.process.pid
        ]
        victim.process.kill()
        victim.process.wait(PATIENCE)
    began = time.monotonic()
    page = ask(pair.first, "nodes")
    seconds = time.monotonic() - began
    until(lambda: ask(pair.second, "nodes")["missing"] == [])

    assert gone in page["missing"]
    assert gone not in [one["node"] for one in page["nodes"]]
    assert seconds < 1.0 + BUSY_SECONDS


def test_workers_of_one_server_are_nodes(tmp_path: Path, item_id: str) -> None:
    """On an engine in memory, which they share; whichever of them is asked speaks for both."""
    with node(tmp_path, "memory://", "--workers", "2") as run, ExitStack() as stack:
        until(lambda: len(ask(run.server, "nodes")["nodes"]) == 2)
        for number in range(MAX_SOCKETS):
            stack.enter_context(json_client(run.server, item_id, f"s{number}"))
        pages = [ask_all(run.server, f"channels?pattern={item_id}") for _ in range(4)]
        listed = [ask_all(run.server, "connections")["connections"] for _ in range(4)]
        workers = {one["workers"] for one in ask(run.server, "nodes")["nodes"]}

    assert [[one["listeners"] for one in page["channels"]] for page in pages] == [[MAX_SOCKETS]] * 4
    assert [len(one) for one in listed] == [MAX_SOCKETS] * 4
    assert workers == {2}
