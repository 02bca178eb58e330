"""Workers that share one node's connections: `itemwire serve --workers 2 --share-engine`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from itemwire import Publisher
from tests.redis_server import RedisServer, running_redis
from tests.scenarios.clients import PATIENCE, closed, json_client, token
from tests.scenarios.nodes import until
from tests.scenarios.processes import Started
from tests.scenarios.test_workers import aside, client_of_each, workers_of
from tests.scenarios.test_workers_alone import engine_of, engines_of, two_workers, until_both_are


@dataclass(frozen=True, slots=True)
class Machine:
    """Two workers, and the Redis that their engine process stands before."""

    redis: RedisServer
    run: Started


@contextmanager
def running_machine(folder: Path) -> Iterator[Machine]:
    """Run all of it."""
    with (
        running_redis(folder) as redis,
        two_workers(folder, redis.url, None, "--share-engine") as (run, _),
    ):
        yield Machine(redis, run)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Run one for tests after which it is as it was."""
    with running_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


def test_what_one_worker_publishes_the_other_hears_and_redis_sees_one_node(
    machine: Machine, item_id: str
) -> None:
    """In one order, each its own too, with all who are there; what comes from elsewhere as well."""
    with (
        client_of_each(machine.run, item_id) as clients,
        Publisher(engine_url=machine.redis.url) as publisher,
    ):
        for client in clients:
            client.ask("publish", data="hello")
        publisher.publish(item_id, "from elsewhere")
        heard = [[(one["offset"], one["data"]) for one in it.messages(3)] for it in clients]
        headers = {"Authorization": f"Bearer {token()}"}
        url = f"{machine.run.server.url}/items/{item_id}/members"
        members = httpx.get(url, headers=headers, timeout=PATIENCE).json()
    connections = machine.redis.ask("CLIENT", "LIST").count(b" name=")

    assert heard == [[(1, "hello"), (2, "hello"), (3, "from elsewhere")]] * 2
    assert members["count"] == 2
    assert connections == 2 + 1  # of one node, and that of the question


def test_an_engine_process_that_is_killed_costs_no_message(machine: Machine, item_id: str) -> None:
    """What is published elsewhere until it is there again is delivered, in the same epoch."""
    killed = engine_of(machine.run)
    with (
        client_of_each(machine.run, item_id) as clients,
        Publisher(engine_url=machine.redis.url) as publisher,
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


def test_while_redis_is_away_the_workers_say_so_and_sockets_stay(
    tmp_path: Path, item_id: str
) -> None:
    """Joins and publishers are refused; when it is back, there is one gap and all goes on."""
    with running_machine(tmp_path) as machine, client_of_each(machine.run, item_id) as clients:
        clients[0].ask("publish", data="before")
        for client in clients:
            client.messages(1)
        machine.redis.kill()
        until_both_are(machine.run, ready=False)
        refused = clients[0].ask("publish", data="into nothing")
        refusal = machine.run.server.refusal(f"/items/{item_id}x/ws?token={token()}")
        machine.redis.start()
        until_both_are(machine.run, ready=True)
        gaps = [client.read()["type"] for client in clients]
        clients[1].ask("publish", data="after")
        heard = [[one["data"] for one in client.messages(1)] for client in clients]

    assert (refused["code"], refusal.reason) == ("overloaded", "overloaded")
    assert gaps == ["gap"] * 2
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
