"""Several nodes on one engine, and several workers on one port: real `itemwire serve` processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from api.testing import LiveServer
from tests.redis_server import RedisServer, running_redis
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    JsonClient,
    closed,
    item_path,
    json_client,
    token,
)
from tests.scenarios.processes import Started, started
from tests.stress.engines import ENGINE_SERVERS

FELT_SECONDS: Final = 2.0  # in which what one node is told is done by all
RACERS: Final = 50


def node(folder: Path, engine_url: str, *options: str) -> AbstractContextManager[Started]:
    """Run `itemwire serve` as an operator does."""
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0", *options]
    return started(command, folder, engine_url=engine_url, admin="true", graceful_timeout="3")


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


def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Look again and again: what is waited for is in another process."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def is_ready(server: LiveServer) -> bool:
    """Ask as a load balancer does."""
    return httpx.get(f"{server.url}/health/ready", timeout=PATIENCE).status_code == 200


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
    """By id and by subject; whoever is not meant stays."""
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


def test_nodes_turn_red_while_the_engine_is_away_and_green_by_themselves(
    pair: Pair, item_id: str
) -> None:
    """Publishers are told within two seconds; subscribers have everything afterwards (107)."""
    with json_client(pair.one, item_id) as alice, json_client(pair.two, item_id, "bob") as bob:
        with pair.redis.paused():
            asked = time.monotonic()
            refused = alice.ask("publish", data="lost", key="k")
            seconds = time.monotonic() - asked
            until(lambda: not is_ready(pair.one) and not is_ready(pair.two))
        until(lambda: is_ready(pair.one) and is_ready(pair.two))
        replies = [
            alice.ask("publish", data="again", key="k"),
            bob.ask("publish", data="another"),
        ]
        heard = [[one["offset"] for one in it.messages(2)] for it in (alice, bob)]

    assert (refused["type"], refused["code"], refused["temporary"]) == ("error", "overloaded", True)
    assert seconds < FELT_SECONDS + 0.5
    assert [reply["type"] for reply in replies] == ["reply"] * 2
    assert heard == [[1, 2]] * 2


def workers_of(run: Started) -> list[int]:
    """List the processes of a supervisor that serve: its children, less the one that cleans up."""
    pids = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if b"spawn_main" in _command_of(pid)]


def _command_of(pid: str) -> bytes:
    """Read how a process was started; one that has just ended was not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@contextmanager
def aside(worker: int) -> Iterator[None]:
    """Let a worker stand still, so that who comes gets another."""
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)


@contextmanager
def client_of_each(run: Started, item_id: str) -> Iterator[list[JsonClient]]:
    """Connect a client to the second worker, and one to the first."""
    with ExitStack() as stack:
        clients = []
        for worker in workers_of(run):
            with aside(worker):
                clients.append(stack.enter_context(json_client(run.server, item_id)))
        yield clients


@contextmanager
def workers(folder: Path, engine_url: str) -> Iterator[Started]:
    """Run a server of two workers, both of them up."""
    with node(folder, engine_url, "--workers", "2") as run:
        for worker in workers_of(run):
            with aside(worker):
                assert is_ready(run.server)
        yield run


@pytest.fixture
def two_workers(pair: Pair) -> Iterator[Started]:
    """Run them on the engine of the nodes."""
    with workers(pair.folder, pair.redis.url) as run:
        yield run


@pytest.mark.parametrize("engine", [name for name in ENGINE_SERVERS if name != "redis"])
def test_workers_share_every_engine_that_can_be_shared(
    engine: str, tmp_path: Path, item_id: str
) -> None:
    """Each has its own connections, made after it was started."""
    with (
        ENGINE_SERVERS[engine](tmp_path) as server,
        workers(tmp_path, server.process.url) as run,
        client_of_each(run, item_id) as clients,
    ):
        for client in clients:
            client.ask("publish", data="hello")

        assert [[one["offset"] for one in it.messages(2)] for it in clients] == [[1, 2]] * 2


def test_clients_of_two_workers_hear_each_other_until_a_signal_ends_all(
    two_workers: Started, item_id: str
) -> None:
    """They are told to come again, as those of one process are, and nothing stays behind."""
    pids = workers_of(two_workers)
    with client_of_each(two_workers, item_id) as clients:
        for client in clients:
            client.ask("publish", data="hello")
        heard = [[one["offset"] for one in client.messages(2)] for client in clients]
        two_workers.stop()
        ends = [closed(client.connection) for client in clients]

    assert heard == [[1, 2]] * 2
    assert ends == [(1012, "draining")] * 2
    assert two_workers.process.wait(PATIENCE) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_worker_that_is_killed_has_a_successor(two_workers: Started, item_id: str) -> None:
    """Clients of the other one notice nothing, and its own come again and resume."""
    survivor, victim = workers_of(two_workers)
    with client_of_each(two_workers, item_id) as (of_victim, of_survivor):
        os.kill(victim, signal.SIGKILL)
        end = closed(of_victim.connection)
        place = of_survivor.ask("publish", data="missed")
        until(lambda: len(workers_of(two_workers)) == 2)
        with aside(survivor), json_client(two_workers.server, item_id, replay=1) as again:
            assert again.welcome["offset"] == place["offset"]

    assert end == (1006, "")
    assert victim not in workers_of(two_workers)
    assert any(f"worker_ended pid={victim} status=-9" in line for line in two_workers.lines)


def test_a_second_signal_ends_all_workers_at_once(two_workers: Started, item_id: str) -> None:
    """Whoever is in a hurry; a worker that stands still would drain for ever."""
    pids = workers_of(two_workers)
    with aside(pids[0]):
        two_workers.stop()
        until(lambda: len(workers_of(two_workers)) == 1)  # the first signal was heeded
        two_workers.stop()

        assert two_workers.process.wait(PATIENCE) == -signal.SIGTERM
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_workers_end_with_their_supervisor(two_workers: Started) -> None:
    """Also where it was killed: nobody would know of them, and the port would stay taken."""
    pids = workers_of(two_workers)
    two_workers.process.kill()

    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
