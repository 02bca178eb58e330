"""Members that are asked for over HTTP and sockets, on every engine that nodes share."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import EVERYTHING, PATIENCE, json_client, token
from tests.scenarios.nodes import node, until
from tests.scenarios.processes import Started
from tests.stress.engines import ENGINE_SERVERS
from tests.timing import BUSY_SECONDS

ASKED_TIMES: Final = 40
PARTIAL_SECONDS: Final = 2.0 + BUSY_SECONDS  # what docs/protocol.md promises


@dataclass(frozen=True, slots=True)
class Deployment:
    """A server of two workers and one of one process, on one engine: three nodes."""

    workers: Started
    alone: Started
    url: str
    folder: Path


@pytest.fixture(scope="module", params=sorted(ENGINE_SERVERS))
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Run them on the next engine of the table."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        url = stack.enter_context(ENGINE_SERVERS[request.param](folder)).process.url
        workers = stack.enter_context(node(folder, url, "--workers", "2"))
        alone = stack.enter_context(node(folder, url))
        yield Deployment(workers, alone, url, folder)


def members(server: LiveServer, item_id: str, **query: int) -> dict[str, Any]:
    """Ask for the members of an item, by a connection of its own."""
    headers = {"Authorization": f"Bearer {token('asks')}"}
    address = f"{server.url}/items/{item_id}/members"
    answer = httpx.get(address, params=query, headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_every_node_lists_the_members_of_all(deployment: Deployment, item_id: str) -> None:
    """Requirement 142: nobody hears the item on the workers that are asked."""
    servers = [deployment.workers.server, deployment.alone.server] * (ASKED_TIMES // 2)
    with json_client(deployment.alone.server, item_id, scope=EVERYTHING) as alice:
        with ThreadPoolExecutor(4) as beside:
            answers = list(beside.map(lambda server: members(server, item_id), servers))
        count = members(deployment.workers.server, item_id, limit=0)

    assert answers == [{"members": [alice.member], "count": 1}] * ASKED_TIMES
    assert count == {"members": [], "count": 1}


def test_a_client_that_has_just_joined_is_told_of_all(deployment: Deployment, item_id: str) -> None:
    """On the first socket of an item on a node, asking at once; the one before it soon after."""
    with (
        json_client(deployment.alone.server, item_id, scope=EVERYTHING) as alice,
        json_client(deployment.workers.server, item_id, "bob", scope=EVERYTHING) as bob,
    ):
        answers = [bob.ask("members")]
        until(lambda: alice.ask("members")["count"] == 2)
        answers.append(alice.ask("members"))

    by_id = sorted((alice.member, bob.member), key=lambda one: str(one["connection"]))
    assert [(one["members"], one["count"]) for one in answers] == [(by_id, 2)] * 2


def test_a_client_of_a_killed_node_is_back_elsewhere_as_the_member_it_was(
    deployment: Deployment, item_id: str
) -> None:
    """It is listed once, and nobody is told that it joined or left (requirement 115)."""
    with json_client(deployment.alone.server, item_id, scope=EVERYTHING) as alice:
        with (
            node(deployment.folder, deployment.url) as victim,
            json_client(victim.server, item_id, "bob") as bob,
        ):
            told = alice.read()
            victim.process.kill()
        with json_client(deployment.alone.server, item_id, "bob") as again:
            listed = alice.ask("members")
            again.ask("publish", data="still here")
            then = alice.read()

    assert told == {"type": "joined", "item": item_id, "member": bob.member}
    assert again.member == bob.member
    assert (listed["count"], bob.member in listed["members"]) == (2, True)
    assert (then["type"], then["sender"]) == ("message", "bob")


def test_a_node_that_stands_still_makes_the_answer_a_partial_one(
    deployment: Deployment, item_id: str
) -> None:
    """Within two seconds, and with the members that are known; and it is soon complete again."""
    with json_client(deployment.alone.server, item_id, scope=EVERYTHING):
        os.kill(deployment.alone.process.pid, signal.SIGSTOP)
        try:
            asked = time.monotonic()
            without = members(deployment.workers.server, item_id)
            seconds = time.monotonic() - asked
        finally:
            os.kill(deployment.alone.process.pid, signal.SIGCONT)
        until(lambda: "partial" not in members(deployment.workers.server, item_id))
        after = members(deployment.workers.server, item_id)

    assert without == {"members": [], "count": 0, "partial": True}
    assert seconds < PARTIAL_SECONDS
    assert after["count"] == 1
