"""Workers that share one node's connections: `itemwire serve --workers 2 --share-engine`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx
import pytest

from itemwire import Publisher
from itemwire.engines.postgres.engine import init_store
from tests.nats_server import running_nats
from tests.postgres_server import PostgresServer, running_postgres
from tests.redis_server import running_redis
from tests.scenarios.clients import PATIENCE, closed, json_client, token
from tests.scenarios.nodes import until
from tests.scenarios.processes import Started
from tests.scenarios.test_workers import aside, client_of_each, workers_of
from tests.scenarios.test_workers_alone import engine_of, engines_of, two_workers, until_both_are


class Store(Protocol):
    """The server that an engine process stands before."""

    @property
    def url(self) -> str:
        """Give the URL of the engine on it."""
        ...

    def start(self) -> None:
        """Start it, with what it kept."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


@contextmanager
def prepared_postgres(_folder: Path) -> Iterator[PostgresServer]:
    """Run one with the store's schema."""
    with running_postgres() as server:
        init_store(server.url)
        yield server


STORES: Final[dict[str, Callable[[Path], AbstractContextManager[Store]]]] = {
    "redis": running_redis,
    "postgresql": prepared_postgres,
    "nats": running_nats,
}


CONNECTIONS: Final = {"redis": 2, "postgresql": 5, "nats": 1}


@dataclass(frozen=True, slots=True)
class Machine:
    """Two workers, and the server that their engine process stands before."""

    store: Store
    run: Started
    connections: int  # of one node


@contextmanager
def running_machine(folder: Path, name: str = "redis") -> Iterator[Machine]:
    """Run all of it."""
    with (
        STORES[name](folder) as store,
        two_workers(folder, store.url, None, "--share-engine") as (run, _),
    ):
        yield Machine(store, run, CONNECTIONS[name])


@pytest.fixture(scope="module", params=STORES)
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Run one for tests after which it is as it was."""
    with running_machine(tmp_path_factory.mktemp("machine"), request.param) as machine:
        yield machine


def connections_of(pid: int, url: str) -> int:
    """Count the connections of a process to the server of an engine."""
    remote = f":{urlsplit(url).port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    there = {f"socket:[{fields[9]}]" for fields in lines if fields[2].endswith(remote)}
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    return sum(str(one.readlink()) in there for one in descriptors if one.is_symlink())


def test_what_one_worker_publishes_the_other_hears_and_the_server_sees_one_node(
    machine: Machine, item_id: str
) -> None:
    """In one order, each its own too, with all who are there; what comes from elsewhere as well."""
    with (
        client_of_each(machine.run, item_id) as clients,
        Publisher(engine_url=machine.store.url) as publisher,
    ):
        for client in clients:
            client.ask("publish", data="hello")
        publisher.publish(item_id, "from elsewhere")
        heard = [[(one["offset"], one["data"]) for one in it.messages(3)] for it in clients]
        headers = {"Authorization": f"Bearer {token()}"}
        url = f"{machine.run.server.url}/items/{item_id}/members"
        members = httpx.get(url, headers=headers, timeout=PATIENCE).json()
    processes = (engine_of(machine.run), *workers_of(machine.run))
    connections = [connections_of(pid, machine.store.url) for pid in processes]

    assert heard == [[(1, "hello"), (2, "hello"), (3, "from elsewhere")]] * 2
    assert members["count"] == 2
    assert connections == [machine.connections, 0, 0]


def test_an_engine_process_that_is_killed_costs_no_message(machine: Machine, item_id: str) -> None:
    """What is published elsewhere until it is there again is delivered, in the same epoch."""
    killed = engine_of(machine.run)
    with (
        client_of_each(machine.run, item_id) as clients,
        Publisher(engine_url=machine.store.url) as publisher,
    ):
        before = clients[0].ask("publish", data="before")
        since = f"{clients[0].welcome['resume']}:{before['offset']}"
        for client in clients:
            client.messages(1)
        os.kill(killed, signal.SIGKILL)
        publisher.publish(item_id, "meanwhile")
        until(lambda: engines_of(machine.run) not in ([], [killed]))
        until_both_are(machine.run, ready=True)
        after = clients[0].ask("publish", data="after")
        heard = [[one["data"] for one in client.messages(2)] for client in clients]
        with json_client(machine.run.server, item_id, since=since) as again:
            recovered = again.welcome["recovered"]

    assert heard == [["meanwhile", "after"]] * 2
    assert (after["epoch"], after["offset"], recovered) == (before["epoch"], 3, True)
    assert any(f"engine_ended pid={killed} status=-9" in line for line in machine.run.lines)


def test_a_revocation_is_known_to_a_worker_that_is_started_later(
    machine: Machine, item_id: str
) -> None:
    """It does not serve before it knows (requirement 70)."""
    survivor, victim = workers_of(machine.run)
    mallory = f"mallory-{item_id}"
    headers = {"Authorization": f"Bearer {token('operator', 'admin')}"}
    with aside(survivor):
        url = f"{machine.run.server.url}/admin/revocations"
        answer = httpx.post(url, json={"subject": mallory}, headers=headers, timeout=PATIENCE)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(workers_of(machine.run)) == 2 and victim not in workers_of(machine.run))
    with aside(survivor):
        refusal = machine.run.server.refusal(f"/items/{item_id}/ws?token={token(mallory)}")

    assert answer.status_code == 200, answer.text
    assert refusal.code == 1008


@pytest.mark.parametrize(
    ("name", "told"), [("redis", ["gap"]), ("postgresql", []), ("nats", ["gap"])]
)
def test_while_the_server_is_away_the_workers_say_so_and_sockets_stay(
    name: str, told: list[str], tmp_path: Path, item_id: str
) -> None:
    """Joins and publishers are refused; then all goes on, after a gap where something is lost."""
    with (
        running_machine(tmp_path, name) as machine,
        client_of_each(machine.run, item_id) as clients,
    ):
        clients[0].ask("publish", data="before")
        for client in clients:
            client.messages(1)
        machine.store.kill()
        until_both_are(machine.run, ready=False)
        refused = clients[0].ask("publish", data="into nothing")
        refusal = machine.run.server.refusal(f"/items/{item_id}x/ws?token={token()}")
        machine.store.start()
        until_both_are(machine.run, ready=True)
        gaps = [[client.read()["type"] for _ in told] for client in clients]
        clients[1].ask("publish", data="after")
        heard = [[one["data"] for one in client.messages(1)] for client in clients]

    assert (refused["code"], refusal.reason) == ("overloaded", "overloaded")
    assert gaps == [told] * 2
    assert heard == [["after"]] * 2


def test_a_signal_drains_the_workers_and_ends_the_process_last(
    tmp_path: Path, item_id: str
) -> None:
    """What is published until then is stored."""
    with running_machine(tmp_path) as machine, client_of_each(machine.run, item_id) as clients:
        os.killpg(machine.run.process.pid, signal.SIGTERM)
        ends = [closed(client.connection) for client in clients]
        status = machine.run.process.wait(PATIENCE)

    assert ends == [(1012, "draining")] * 2
    assert status == 0
    assert not [one for one in machine.run.lines if "ERROR" in one or "engine_lost" in one]


def test_a_redis_that_is_not_there_ends_the_start_with_the_reason(tmp_path: Path) -> None:
    """As it does with connections of the workers' own."""
    with running_redis(tmp_path) as redis:
        redis.kill()
        with (
            pytest.raises(RuntimeError, match="cannot use redis://"),
            two_workers(tmp_path, redis.url, None, "--share-engine"),
        ):
            pass
