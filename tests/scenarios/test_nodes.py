"""Several nodes on one engine: real `itemwire serve` processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from itemwire.testing import LiveServer
from tests.redis_server import RedisServer, running_redis
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PATIENCE,
    TALKING,
    JsonClient,
    closed,
    item_path,
    json_client,
    token,
)
from tests.scenarios.late_bodies import late_body
from tests.scenarios.nodes import FELT_SECONDS, MAX_SOCKETS, is_ready, node, until

RACERS: Final = 50


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nodes on one engine."""

    redis: RedisServer
    one: LiveServer
    two: LiveServer
    folder: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes for all tests here: what they do is told apart by item and subject."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis(folder))
        one, two = (stack.enter_context(node(folder, redis.url)).server for _ in range(2))
        yield Pair(redis, one, two, folder)


def ask(server: LiveServer, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Make a request as an administrator."""
    headers = {"Authorization": f"Bearer {token('root', 'admin')}"}
    answer = httpx.request(method, server.url + path, headers=headers, json=body, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_what_is_published_on_both_is_heard_on_both_in_one_order(pair: Pair, item_id: str) -> None:
    """Wherever somebody is connected, the channel is the same."""
    with json_client(pair.one, item_id) as alice, json_client(pair.two, item_id, "bob") as bob:
        with ThreadPoolExecutor(2) as both:
            for client in (alice, bob):
                both.submit(lambda it: [it.ask("publish", data=n) for n in range(100)], client)
        heard = [
            [(one["offset"], one["sender"], one["data"]) for one in it.messages(200)]
            for it in (alice, bob)
        ]

    assert heard[0] == heard[1]
    assert [offset for offset, *_ in heard[0]] == list(range(1, 201))


def test_a_position_of_one_node_is_good_on_the_other(pair: Pair, item_id: str) -> None:
    """A load balancer sends a client that comes back anywhere."""
    with json_client(pair.one, item_id) as client:
        first = client.ask("publish", data="heard")
    with json_client(pair.two, item_id) as client:
        client.ask("publish", data="missed")
    since = f"{first['epoch']}:{first['offset']}"
    with json_client(pair.two, item_id, since=since) as client:
        assert client.welcome["recovered"]
        assert [one["data"] for one in client.messages(1)] == ["missed"]


def test_a_proof_of_one_node_is_good_on_the_other(pair: Pair, item_id: str) -> None:
    """Both know the secret of the store; without the right to history or proof, nothing comes."""
    with json_client(pair.one, item_id, scope="items:subscribe") as client:
        resume, epoch = client.welcome["resume"], client.welcome["epoch"]
    with json_client(pair.one, item_id, "bob") as bob:
        bob.ask("publish", data="missed")
    for since, recovered in ((f"{resume}:0", True), (f"{epoch}:0", False)):
        with json_client(pair.two, item_id, scope="items:subscribe", since=since) as client:
            assert client.welcome["recovered"] is recovered
            if recovered:
                assert [one["data"] for one in client.messages(1)] == ["missed"]


def test_a_ticket_of_one_node_lets_one_in_on_the_others(pair: Pair, item_id: str) -> None:
    """Fifty come at once, half to each node (requirement 22)."""
    headers = {"Authorization": f"Bearer {token()}"}
    answer = httpx.post(f"{pair.one.url}/auth/tickets", headers=headers, timeout=PATIENCE)
    path = item_path(item_id, {"ticket": answer.json()["ticket"]})

    def come(number: int) -> str:
        server = (pair.one, pair.two)[number % 2]
        with server.connect(path, subprotocols=(JSON,)) as connection:
            try:
                return str(JsonClient(connection).welcome["type"])
            except ConnectionClosed as ended:
                return ended.rcvd.reason if ended.rcvd else ""

    with ThreadPoolExecutor(RACERS) as crowd:
        ends = list(crowd.map(come, range(RACERS)))

    assert sorted(ends) == ["ticket_invalid"] * (RACERS - 1) + ["welcome"]


def test_a_revocation_ends_sockets_everywhere_and_keeps_them_out(pair: Pair, item_id: str) -> None:
    """Also on a node that starts later; another subject stays (requirement 70)."""
    subject = f"bob-{item_id}"
    path = item_path(item_id, {"token": token(subject)})
    with (
        pair.two.connect(path, subprotocols=(JSON,)) as lost,
        json_client(pair.two, item_id) as kept,
    ):
        JsonClient(lost)
        asked = time.monotonic()
        ask(pair.one, "POST", "/admin/revocations", {"subject": subject})
        end, seconds = closed(lost), time.monotonic() - asked
        with node(pair.folder, pair.redis.url) as later:
            refusals = [
                server.refusal(path).reason for server in (pair.one, pair.two, later.server)
            ]
            with json_client(later.server, item_id):
                still_here = kept.ask("publish", data="still here")

    assert end == (1008, "token_revoked")
    assert seconds < FELT_SECONDS
    assert refusals == ["token_revoked"] * 3
    assert still_here["type"] == "reply"


def test_an_operator_ends_connections_of_every_node_from_any(pair: Pair, item_id: str) -> None:
    """By id and by subject; all other connections stay."""
    subject = f"bob-{item_id}"
    with (
        json_client(pair.two, item_id, subject) as one,
        json_client(pair.two, item_id, subject) as two,
        json_client(pair.two, item_id) as kept,
    ):
        asked = time.monotonic()
        ask(pair.one, "DELETE", f"/admin/connections/{one.welcome['connection']}")
        by_id = closed(one.connection)
        still_here = two.ask("publish", data="by id")
        ask(pair.one, "DELETE", f"/admin/subjects/{subject}/connections")
        by_subject, seconds = closed(two.connection), time.monotonic() - asked

        assert by_id == by_subject == (1008, "token_revoked")
        assert still_here["type"] == "reply"
        assert seconds < 2 * FELT_SECONDS
        assert kept.ask("publish", data="by subject")["type"] == "reply"


def test_sockets_of_a_subject_count_on_all_nodes(pair: Pair, item_id: str) -> None:
    """At the total limit both nodes refuse; a slot released on one is free on the other (96)."""
    subject = f"bob-{item_id}"
    path = item_path(item_id, {"token": token(subject)})
    with ExitStack() as sockets, json_client(pair.one, item_id, subject) as first:
        for number in range(MAX_SOCKETS - 1):
            sockets.enter_context(json_client((pair.two, pair.one)[number % 2], item_id, subject))
        for server in (pair.one, pair.two):
            until(partial(is_refused, server, path))
            assert server.refusal(path).reason == "connection_limit"
        with json_client(pair.two, item_id) as another:
            assert another.ask("ping")["type"] == "pong"

        first.connection.close()
        until(lambda: not is_refused(pair.two, path))


def is_refused(server: LiveServer, path: str) -> bool:
    """Connect and close; return whether the server refused for lack of a slot."""
    with server.connect(path, subprotocols=(JSON,)) as connection:
        try:
            JsonClient(connection)
        except ConnectionClosed:
            return True
    return False


def test_a_burst_on_two_nodes_ends_at_the_limit(pair: Pair, item_id: str) -> None:
    """Each lets in as many as it knows no better; a moment later there are so many in all (96)."""
    subject = f"bob-{item_id}"
    path = item_path(item_id, {"token": token(subject, TALKING)})

    def ends() -> list[str]:
        frames = [one.protocol.close_rcvd for one in burst]
        return [frame.reason for frame in frames if frame is not None]

    def there() -> int:
        listed = ask(pair.one, "GET", f"/admin/connections?subject={subject}&limit=1000")
        return len(listed["connections"])

    with ExitStack() as sockets, ThreadPoolExecutor(2 * MAX_SOCKETS) as crowd:

        def come(number: int) -> ClientConnection:
            server = (pair.one, pair.two)[number % 2]
            return sockets.enter_context(server.connect(path, subprotocols=(JSON,)))

        burst = list(crowd.map(come, range(3 * MAX_SOCKETS)))
        until(lambda: len(ends()) == 2 * MAX_SOCKETS)
        left = there()

        assert ends() == ["connection_limit"] * 2 * MAX_SOCKETS
        assert left == MAX_SOCKETS


def test_clients_of_a_node_that_stops_come_back_to_another_unnoticed(
    pair: Pair, item_id: str
) -> None:
    """Nobody sees them leave or join: a node is replaced, and their items look as before (115)."""
    with json_client(pair.one, item_id, scope=EVERYTHING) as alice:
        with node(pair.folder, pair.redis.url) as later:
            with json_client(later.server, item_id, "bob", scope=EVERYTHING) as bob:
                came = alice.read()
                later.stop()
                end = closed(bob.connection)
            later.process.wait(PATIENCE)
        with json_client(pair.two, item_id, "bob", scope=EVERYTHING) as again:
            again.ask("publish", data="still here")
            told = alice.read()

    assert (came["type"], came["member"]) == ("joined", bob.member)
    assert end == (1012, "draining")
    assert again.member == bob.member
    assert (told["type"], told["sender"]) == ("message", "bob")


def test_nodes_turn_red_while_the_engine_is_away_and_green_by_themselves(
    pair: Pair, item_id: str
) -> None:
    """Publishers are told within two seconds; subscribers have everything after (107, 117)."""
    address = f"{pair.two.url}/items/{item_id}:http/messages"
    headers = {"Authorization": f"Bearer {token()}"}
    with json_client(pair.one, item_id) as alice, json_client(pair.two, item_id, "bob") as bob:
        with pair.redis.paused(), ThreadPoolExecutor(1) as beside:
            asked = time.monotonic()
            posting = beside.submit(httpx.post, address, headers=headers, json=1, timeout=PATIENCE)
            refused = alice.ask("publish", data="lost", key="k")
            posted = posting.result()
            seconds = time.monotonic() - asked
            until(lambda: not is_ready(pair.one) and not is_ready(pair.two))
        until(lambda: is_ready(pair.one) and is_ready(pair.two))
        replies = [
            alice.ask("publish", data="again", key="k"),
            bob.ask("publish", data="another"),
        ]
        heard = [[one["offset"] for one in it.messages(2)] for it in (alice, bob)]

    assert (refused["type"], refused["code"], refused["temporary"]) == ("error", "overloaded", True)
    assert (posted.status_code, posted.json()["code"]) == (503, "overloaded")
    assert seconds < FELT_SECONDS + 0.5
    assert [reply["type"] for reply in replies] == ["reply"] * 2
    assert heard == [[1, 2]] * 2


def test_a_body_that_comes_after_a_revocation_on_another_node_is_not_stored(
    pair: Pair, item_id: str
) -> None:
    """The notice reaches this node while it waits for the body (requirement 129)."""
    path, subject = f"/items/{item_id}/messages", f"late-{item_id}"
    credential = token(subject)
    with (
        late_body(pair.one.url, path, credential, b"1") as revoked,
        late_body(pair.one.url, path, token("bob"), b"2") as kept,
    ):
        ask(pair.two, "POST", "/admin/revocations", {"subject": subject})
        until(lambda: is_refused(pair.one, item_path(item_id, {"token": credential})))
        answers = [request.finish() for request in (revoked, kept)]

    assert [status for status, _ in answers] == [401, 201]
    assert answers[0][1]["code"] == "token_revoked"
    assert answers[1][1]["offset"] == 1
