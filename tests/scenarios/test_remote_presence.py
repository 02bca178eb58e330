"""Three servers on one Valkey: presence as clients of any of them see it."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.redis_server import running_redis
from tests.scenarios.clients import EVERYTHING, JsonClient, json_client
from tests.scenarios.processes import started
from tests.timing import BUSY_SECONDS

GONE_SECONDS: Final = 10.0 + BUSY_SECONDS  # what docs/protocol.md promises


def test_members_of_a_killed_node_leave_in_time_and_come_back_once(
    tmp_path: Path, item_id: str
) -> None:
    """Requirement 115: `joined` and `left` go across, and `kill -9` leaves nobody behind.

    Dave comes back to the node on which alice hears the item, and nobody is told. Carol comes back
    to one that knows nothing of the item, and is seen twice until her old self is given up.
    """
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
    with (
        running_redis(tmp_path) as redis,
        started(command, tmp_path, engine_url=redis.url) as one,
        started(command, tmp_path, engine_url=redis.url) as other,
        started(command, tmp_path, engine_url=redis.url) as again,
        json_client(one.server, item_id, scope=EVERYTHING) as alice,
    ):
        with json_client(other.server, item_id, "bob") as bob:
            came = _read_within(alice, GONE_SECONDS)
        left = _read_within(alice, GONE_SECONDS)
        with json_client(other.server, item_id, "carol", scope=EVERYTHING) as carol:
            told = [*carol.welcome["members"]]
            if alice.member not in told:
                told.append(_read_within(carol, GONE_SECONDS)["member"])
            joined = _read_within(alice, GONE_SECONDS)
            with json_client(other.server, item_id, "dave") as dave:
                assert _read_within(alice, GONE_SECONDS)["member"] == dave.member
                other.process.send_signal(signal.SIGKILL)
                began = time.monotonic()
        with (
            json_client(one.server, item_id, "dave") as dave_again,
            json_client(again.server, item_id, "carol", scope=EVERYTHING) as back,
        ):
            returned = _read_within(alice, GONE_SECONDS)
            gone = _read_within(alice, GONE_SECONDS)
            took = time.monotonic() - began
            lists = [it.ask("members")["members"] for it in (alice, back)]

    assert came == {"type": "joined", "item": item_id, "member": bob.member}
    assert left == {"type": "left", "item": item_id, "member": bob.member}
    assert joined == {"type": "joined", "item": item_id, "member": carol.member}
    assert {member["subject"] for member in told} == {"alice", "carol"}
    assert returned == {"type": "joined", "item": item_id, "member": back.member}
    assert gone == {"type": "left", "item": item_id, "member": carol.member}
    assert dave_again.member == dave.member
    assert took < GONE_SECONDS
    for members in lists:
        assert sorted(one["connection"] for one in members) == sorted(
            one.member["connection"] for one in (alice, back, dave)
        )


def test_a_crowd_of_several_nodes_is_one_number_for_all(tmp_path: Path, item_id: str) -> None:
    """Each node tells the others how many it has, and a killed one takes its own (160)."""
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
    settings = {"presence_limit": "1", "presence_grace": "0"}
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis(tmp_path))
        one, other = (
            stack.enter_context(started(command, tmp_path, engine_url=redis.url, **settings))
            for _ in range(2)
        )
        alice, *_ = (
            stack.enter_context(json_client(one.server, item_id, scope=EVERYTHING))
            for _ in range(4)
        )
        dave, *_ = (
            stack.enter_context(json_client(other.server, item_id, "dave", scope=EVERYTHING))
            for _ in range(6)
        )
        for reader in (alice, dave):
            _read_count(reader, 10)
        page = dave.ask("members")
        other.process.send_signal(signal.SIGKILL)
        began = time.monotonic()
        _read_count(alice, 4)
        took = time.monotonic() - began

    assert (page["count"], len(page["members"])) == (10, 1)
    assert took < GONE_SECONDS


def _read_count(reader: JsonClient, number: int) -> None:
    """Read until a client is told so many members, past all else."""
    while _read_within(reader, GONE_SECONDS).get("member_count") != number:
        pass


def _read_within(client: JsonClient, seconds: float) -> dict[str, object]:
    envelope: dict[str, object] = json.loads(client.connection.recv(timeout=seconds))
    return envelope
