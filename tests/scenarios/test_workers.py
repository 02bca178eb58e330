"""Several workers on one port: real `itemwire serve --workers 2`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.redis_server import running_redis
from tests.scenarios.clients import (
    PATIENCE,
    JsonClient,
    closed,
    json_client,
)
from tests.scenarios.nodes import FELT_SECONDS, METRICS_TOKEN, is_ready, node, until
from tests.scenarios.processes import Started
from tests.stress.engines import ENGINE_SERVERS


@dataclass(frozen=True, slots=True)
class Store:
    """Where the workers' channels live."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One Redis for all workers here."""
    folder = tmp_path_factory.mktemp("workers")
    with running_redis(folder) as redis:
        yield Store(redis.url, folder)


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
def running_workers(folder: Path, engine_url: str) -> Iterator[Started]:
    """Run a server of two workers, both of them up."""
    with node(folder, engine_url, "--workers", "2") as run:
        for worker in workers_of(run):
            with aside(worker):
                assert is_ready(run.server)
        yield run


@pytest.fixture(scope="module")
def lasting_workers(store: Store) -> Iterator[Started]:
    """Run two workers for tests after which there are two again."""
    with running_workers(store.folder, store.url) as run:
        yield run


@pytest.fixture
def two_workers(store: Store) -> Iterator[Started]:
    """Run two workers of a test's own."""
    with running_workers(store.folder, store.url) as run:
        yield run


@pytest.mark.parametrize("engine", [name for name in ENGINE_SERVERS if name != "redis"])
def test_workers_share_every_engine_that_can_be_shared(
    engine: str, tmp_path: Path, item_id: str
) -> None:
    """Each has its own connections, made after it was started."""
    with (
        ENGINE_SERVERS[engine](tmp_path) as server,
        running_workers(tmp_path, server.process.url) as run,
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


def scraped(run: Started) -> dict[tuple[str, str], float]:
    """Scrape as Prometheus does; give each series' value by name and worker, labels added up."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    answer = httpx.get(f"{run.server.url}/metrics", headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            series = sample.name, sample.labels["worker"]
            found[series] = found.get(series, 0) + sample.value
    return found


def test_one_scrape_tells_of_all_workers(lasting_workers: Started, item_id: str) -> None:
    """Whichever answers; one that stands still delays it by no more than half a second."""
    first, _ = workers_of(lasting_workers)
    with client_of_each(lasting_workers, item_id):
        told = [scraped(lasting_workers) for _ in range(4)]
        with aside(first):
            asked = time.monotonic()
            without = scraped(lasting_workers)
            seconds = time.monotonic() - asked

    for one in told:
        assert [one["itemwire_worker_up", worker] for worker in "01"] == [1, 1]
        assert [one["itemwire_connections", worker] for worker in "01"] == [1, 1]
    ups = [without["itemwire_worker_up", worker] for worker in "01"]
    assert sorted(ups) == [0, 1]
    assert ("itemwire_connections", str(ups.index(1))) in without
    assert ("itemwire_connections", str(ups.index(0))) not in without
    assert seconds < FELT_SECONDS


def test_a_scrape_of_all_workers_needs_the_token(lasting_workers: Started) -> None:
    """As that of one does: what they tell each other is told to nobody else."""
    answer = httpx.get(f"{lasting_workers.server.url}/metrics", timeout=PATIENCE)

    assert answer.status_code == 401
    assert "itemwire_" not in answer.text


def test_a_worker_that_is_killed_has_a_successor(lasting_workers: Started, item_id: str) -> None:
    """Clients of the other one notice nothing, and its own come again and resume."""
    survivor, victim = workers_of(lasting_workers)
    with client_of_each(lasting_workers, item_id) as (of_victim, of_survivor):
        os.kill(victim, signal.SIGKILL)
        end = closed(of_victim.connection)
        place = of_survivor.ask("publish", data="missed")
        ups = [scraped(lasting_workers)["itemwire_worker_up", worker] for worker in "01"]
        until(lambda: len(workers_of(lasting_workers)) == 2)
        with aside(survivor), json_client(lasting_workers.server, item_id, replay=1) as again:
            assert again.welcome["offset"] == place["offset"]
            told = scraped(lasting_workers)

    assert end == (1006, "")
    assert sorted(ups) == [0, 1]
    assert told["itemwire_worker_up", str(ups.index(0))] == 1  # its number is its successor's
    assert victim not in workers_of(lasting_workers)
    assert any(f"worker_ended pid={victim} status=-9" in line for line in lasting_workers.lines)


def test_a_second_signal_ends_all_workers_at_once(two_workers: Started, item_id: str) -> None:
    """For an operator in a hurry: a worker that hangs would drain for ever."""
    pids = workers_of(two_workers)
    with aside(pids[0]):
        two_workers.stop()
        until(lambda: len(workers_of(two_workers)) == 1)  # the first signal was acted on
        two_workers.stop()

        assert two_workers.process.wait(PATIENCE) == -signal.SIGTERM
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_workers_end_with_their_supervisor(two_workers: Started) -> None:
    """Also where it was killed: nobody would know of them, and the port would stay taken."""
    pids = workers_of(two_workers)
    two_workers.process.kill()

    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
