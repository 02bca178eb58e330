"""Two servers on one Valkey: who is there, as clients of either see it."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Final

from tests.redis_server import running_redis
from tests.scenarios.clients import EVERYTHING, JsonClient, json_client
from tests.scenarios.processes import started

GONE_SECONDS: Final = 10.0  # what docs/protocol.md promises


def test_members_of_a_killed_node_leave_in_time(tmp_path: Path, item_id: str) -> None:
    """Requirement 115: `joined` and `left` go across, and `kill -9` leaves nobody behind."""
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
    with (
        running_redis(tmp_path) as redis,
        started(command, tmp_path, engine_url=redis.url) as one,
        started(command, tmp_path, engine_url=redis.url) as other,
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
            other.process.send_signal(signal.SIGKILL)
            began = time.monotonic()
            gone = _read_within(alice, GONE_SECONDS)
            took = time.monotonic() - began

    assert came == {"type": "joined", "item": item_id, "member": bob.member}
    assert left == {"type": "left", "item": item_id, "member": bob.member}
    assert joined == {"type": "joined", "item": item_id, "member": carol.member}
    assert gone == {"type": "left", "item": item_id, "member": carol.member}
    assert {member["subject"] for member in told} == {"alice", "carol"}
    assert took < GONE_SECONDS


def _read_within(client: JsonClient, seconds: float) -> dict[str, object]:
    envelope: dict[str, object] = json.loads(client.connection.recv(timeout=seconds))
    return envelope
