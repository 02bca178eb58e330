"""Several workers without a broker: `itemwire serve --workers 2` on an engine of one process."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

import httpx
import pytest

from tests.scenarios.clients import PATIENCE, closed, json_client, token
from tests.scenarios.nodes import METRICS_TOKEN, is_ready, until
from tests.scenarios.processes import Started, started
from tests.scenarios.test_workers import aside, client_of_each, scraped, workers_of
from tests.server_process import wait_until_stopped
from tests.serving.test_fastpath_off import OTHER_UVICORN

FAST: Final = [str(Path(sys.executable).with_name("itemwire"))]
GUARDED: Final = """
if __name__ == "__main__":
    main()"""  # not in the workers, which are spawned
STORES: Final = {"memory": "memory://", "sqlite": "sqlite:///itemwire.db"}


def engine_of(run: Started) -> int:
    """Give the engine process of a supervisor."""
    (found,) = engines_of(run)
    return found


def engines_of(run: Started) -> list[int]:
    """List the engine processes of a supervisor: one, or none while it is started anew."""
    pids = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if b"engine_server" in command_of(pid)]


def command_of(pid: str) -> bytes:
    """Read how a process was started; one that has just ended was not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def is_there(pid: int) -> bool:
    """Tell whether a process runs."""
    return Path(f"/proc/{pid}").exists()


@contextmanager
def two_workers(
    folder: Path, url: str, command: list[str] | None = None, *options: str
) -> Iterator[tuple[Started, Path]]:
    """Run a server of two workers, both of them ready, with a folder for its sockets."""
    line = [*(command or FAST), "serve", "--port", "0", "--workers", "2", *options]
    settings = {"metrics_token": METRICS_TOKEN, "graceful_timeout": "3", "admin": "true"}
    with tempfile.TemporaryDirectory() as temporary:  # a short name, as a socket needs
        with (
            patch.dict(os.environ, TMPDIR=temporary),
            started(line, folder, engine_url=url, **settings) as running,
        ):
            until_both_are(running, ready=True)
            yield running, Path(temporary)
        assert list(Path(temporary).iterdir()) == []


def until_both_are(run: Started, *, ready: bool) -> None:
    """Wait until each of the workers says so."""
    for worker in workers_of(run):
        with aside(worker):
            until(lambda: is_ready(run.server) is ready)


@pytest.fixture(scope="module", params=["fastpath-memory", "fastpath-sqlite", "uvicorn-memory"])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    """Run two workers on our protocol classes, and on uvicorn's own."""
    kind, engine = request.param.split("-")
    folder = tmp_path_factory.mktemp("alone")
    script = folder / "other_uvicorn.py"
    script.write_text(OTHER_UVICORN.replace("\nmain()", GUARDED), "utf-8")
    command = FAST if kind == "fastpath" else [sys.executable, str(script)]
    with two_workers(folder, STORES[engine], command) as (running, _):
        yield running


def test_what_one_worker_publishes_the_other_hears(run: Started, item_id: str) -> None:
    """In one order, each its own too, and both know who is there."""
    with client_of_each(run, item_id) as clients:
        for client in clients:
            client.ask("publish", data="hello")
        heard = [[one["offset"] for one in client.messages(2)] for client in clients]
        headers = {"Authorization": f"Bearer {token()}"}
        members = httpx.get(f"{run.server.url}/items/{item_id}/members", headers=headers).json()

    assert heard == [[1, 2]] * 2
    assert members["count"] == 2


def test_a_client_resumes_on_the_other_worker(run: Started, item_id: str) -> None:
    """A position of one is a position of the other, and so is a key."""
    one, other = workers_of(run)
    with aside(one), json_client(run.server, item_id) as client:
        place = client.ask("publish", data="heard", key="k")
        since = f"{client.welcome['resume']}:{place['offset']}"
    with aside(other), json_client(run.server, item_id) as client:
        again = client.ask("publish", data="heard", key="k")
        client.ask("publish", data="missed")
        with json_client(run.server, item_id, since=since) as late:
            resumed = late.welcome["recovered"], [each["data"] for each in late.messages(1)]

    assert again["offset"] == place["offset"]
    assert resumed == (True, ["missed"])


def test_a_ticket_of_one_worker_lets_one_in_on_the_other(run: Started, item_id: str) -> None:
    """Whichever worker it comes to, and once."""
    one, other = workers_of(run)
    headers = {"Authorization": f"Bearer {token()}"}
    with aside(one):
        answer = httpx.post(f"{run.server.url}/auth/tickets", headers=headers, timeout=PATIENCE)
        path = f"/items/{item_id}/ws?ticket={answer.json()['ticket']}"
    with aside(other), run.server.client(path) as client:
        client.welcome()
    with aside(one):
        refusal = run.server.refusal(path)

    assert refusal.reason == "ticket_invalid"


def test_a_revocation_is_one_of_all_workers(run: Started, item_id: str) -> None:
    """Of one that is started later, too: it does not serve before it knows (requirement 70)."""
    survivor, victim = workers_of(run)
    mallory = f"mallory-{item_id}"
    headers = {"Authorization": f"Bearer {token('operator', 'admin')}"}
    with aside(survivor):
        mallorys = json_client(run.server, item_id, subject=mallory)
        client = mallorys.__enter__()
    with aside(victim):
        url = f"{run.server.url}/admin/revocations"
        answer = httpx.post(url, json={"subject": mallory}, headers=headers, timeout=PATIENCE)
    end = closed(client.connection)
    mallorys.__exit__(None, None, None)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(workers_of(run)) == 2 and victim not in workers_of(run))
    with aside(survivor):
        refusal = run.server.refusal(f"/items/{item_id}/ws?token={token(mallory)}")

    assert answer.status_code == 200, answer.text
    assert (end[0], refusal.code, refusal.reason) == (1008, 1008, end[1])


def test_a_worker_that_is_killed_costs_no_other_anything(run: Started, item_id: str) -> None:
    """Its clients come again and resume, in the same epoch."""
    survivor, victim = workers_of(run)
    with client_of_each(run, item_id) as (of_victim, of_survivor):
        before = of_victim.ask("publish", data="before")
        since = f"{of_victim.welcome['resume']}:{before['offset']}"
        os.kill(victim, signal.SIGKILL)
        end = closed(of_victim.connection)
        of_survivor.ask("publish", data="missed")
        heard = [one["data"] for one in of_survivor.messages(2)]
        until(lambda: len(workers_of(run)) == 2 and victim not in workers_of(run))
        with aside(survivor), json_client(run.server, item_id, since=since) as again:
            resumed = again.welcome["recovered"], [one["data"] for one in again.messages(1)]

    assert end == (1006, "")
    assert heard == ["before", "missed"]
    assert resumed == (True, ["missed"])


def test_an_engine_process_that_is_killed_is_started_anew(
    run: Started, item_id: str, request: pytest.FixtureRequest
) -> None:
    """Sockets stay. In memory a new epoch begins, and clients are told; a file goes on."""
    killed = engine_of(run)
    is_durable = "sqlite" in request.node.callspec.id
    with client_of_each(run, item_id) as clients:
        before = clients[0].ask("publish", data="before")
        since = f"{clients[0].welcome['resume']}:{before['offset']}"
        for client in clients:
            client.messages(1)
        os.kill(killed, signal.SIGKILL)
        until(lambda: engines_of(run) not in ([], [killed]))
        until_both_are(run, ready=True)
        after = clients[0].ask("publish", data="after")
        gaps = [] if is_durable else [client.read() for client in clients]
        heard = [[one["data"] for one in client.messages(1)] for client in clients]
        with json_client(run.server, item_id, since=since) as again:
            recovered = again.welcome["recovered"]

    assert recovered is is_durable
    assert (after["epoch"] == before["epoch"]) is is_durable
    assert [gap["type"] for gap in gaps] == ([] if is_durable else ["gap"] * 2)
    assert heard == [["after"]] * 2
    assert any(f"engine_ended pid={killed} status=-9" in line for line in run.lines)


def test_while_the_engine_process_stands_still_nobody_waits_and_nothing_is_lost(
    run: Started, item_id: str
) -> None:
    """Publishers are told to come again; with the same key nothing is stored twice."""
    engine = engine_of(run)
    with client_of_each(run, item_id) as clients:
        os.kill(engine, signal.SIGSTOP)
        try:
            wait_until_stopped([engine])
            refused = clients[0].ask("publish", data="meanwhile", key="k")
            until_both_are(run, ready=False)
        finally:
            os.kill(engine, signal.SIGCONT)
        until_both_are(run, ready=True)
        clients[0].ask("publish", data="meanwhile", key="k")
        clients[1].ask("publish", data="after")
        heard = [[one["data"] for one in client.messages(2)] for client in clients]

    assert (refused["type"], refused["code"], refused["temporary"]) == ("error", "overloaded", True)
    assert heard == [["meanwhile", "after"]] * 2


def test_one_scrape_tells_of_both(run: Started) -> None:
    """As with a broker."""
    told = scraped(run)

    assert [told["itemwire_worker_up", worker] for worker in "01"] == [1, 1]
    assert [told["itemwire_ready", worker] for worker in "01"] == [1, 1]


def test_only_this_user_reaches_the_engine(tmp_path: Path) -> None:
    """Its socket is in a folder that nobody else may enter."""
    with two_workers(tmp_path, STORES["memory"]) as (_, temporary):
        folders = list(temporary.glob("itemwire-engine-*"))

        assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700]
        assert [[one.name for one in folder.iterdir()] for folder in folders] == [["engine.sock"]]


def test_a_signal_drains_the_workers_and_ends_the_engine_last(tmp_path: Path, item_id: str) -> None:
    """A group gets it, as from a terminal or systemd; what is published till then is stored."""
    with (
        two_workers(tmp_path, STORES["sqlite"]) as (running, _),
        client_of_each(running, item_id) as clients,
    ):
        pids = [*workers_of(running), engine_of(running)]
        os.killpg(running.process.pid, signal.SIGTERM)
        ends = [closed(client.connection) for client in clients]
        status = running.process.wait(PATIENCE)

        assert ends == [(1012, "draining")] * 2
        assert status == 0
        assert not any(map(is_there, pids))
    assert not [line for line in running.lines if "ERROR" in line or "engine_lost" in line]


def test_nobody_is_left_when_the_supervisor_is_killed(tmp_path: Path, item_id: str) -> None:
    """Workers drain first, and need the engine for that; nothing stays behind."""
    with (
        two_workers(tmp_path, STORES["memory"]) as (running, _),
        client_of_each(running, item_id) as clients,
    ):
        pids = [*workers_of(running), engine_of(running)]
        running.process.kill()
        ends = [closed(client.connection) for client in clients]
        until(lambda: not any(map(is_there, pids)))

        assert ends == [(1012, "draining")] * 2


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    """For an operator in a hurry, also while the engine stands still."""
    with two_workers(tmp_path, STORES["memory"]) as (running, _):
        pids = [*workers_of(running), engine_of(running)]
        with aside(pids[0]), aside(pids[-1]):
            running.stop()
            until(lambda: len(workers_of(running)) == 1)  # the first signal was acted on
            running.stop()

            assert running.process.wait(PATIENCE) == -signal.SIGTERM
            until(lambda: not any(map(is_there, pids)))


def test_a_worker_whose_file_is_gone_says_so_in_one_line(tmp_path: Path) -> None:
    """And is there as soon as its file is; the other one serves meanwhile."""
    file = tmp_path / "channels.toml"
    file.write_text("")
    with started(
        [*FAST, "serve", "--port", "0", "--workers", "2"], tmp_path, channels_file=str(file)
    ) as running:
        survivor, victim = workers_of(running)
        file.rename(tmp_path / "aside")
        os.kill(victim, signal.SIGKILL)
        until(lambda: any("worker_unfit" in line for line in running.lines))
        assert is_ready(running.server)
        (tmp_path / "aside").rename(file)
        with aside(survivor):
            assert is_ready(running.server)

    said = [line for line in running.lines if "worker_unfit" in line]
    assert all("channels.toml" in line for line in said)
    assert not any("Traceback" in line for line in running.lines)
