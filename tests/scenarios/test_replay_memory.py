"""A client that joins with replays and reads nothing: what it makes a real server keep."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from itemwire.bench.frames import TEXT, client_frame
from itemwire.bench.memory import memory_of
from itemwire.testing import LiveServer
from tests.fastpath.served import head
from tests.scenarios.clients import PATIENCE, TALKING, json_client, many_client, token
from tests.scenarios.processes import started
from tests.scenarios.test_drain import BESIDE

ITEMS = [f"item-{number}" for number in range(8)]
MESSAGES = 100
PAYLOAD = "x" * 10_000  # so about 1 MiB of each item
ROUNDS = 8  # 64 MiB, if all were kept
BOUND = 20 * 2**20
UNLIMITED = {f"{kind}_rate": "0" for kind in ("publish", "join", "history", "request", "bytes")}


def _join_unread(server: LiveServer, pid: int) -> int:
    """Join and leave all items, again and again, and read nothing; return the memory at most."""
    address = urlsplit(server.url)
    most = 0
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(PATIENCE)
        client.connect((address.hostname, address.port))
        client.sendall(head(f"/ws?token={token(scope=TALKING)}"))
        for _ in range(ROUNDS):
            for item in ITEMS:
                for request in ({"type": "join", "replay": MESSAGES}, {"type": "leave"}):
                    client.sendall(
                        client_frame(TEXT, json.dumps(request | {"item": item}).encode())
                    )
            with many_client(server) as other:  # answered after what was sent before
                assert other.ask("ping")["type"] == "pong"
            most = max(most, memory_of(pid))
    return most


def test_keeps_one_replay_for_a_client_that_reads_nothing(tmp_path: Path) -> None:
    """Requirement 126, on a real server; one that reads gets every message."""
    command = [str(BESIDE / "itemwire"), "serve", "--port", "0"]
    with started(command, tmp_path, **UNLIMITED) as running:
        for item in ITEMS:
            with json_client(running.server, item) as publisher:
                for _ in range(MESSAGES):
                    publisher.ask("publish", data=PAYLOAD)
        before = memory_of(running.process.pid)
        most = _join_unread(running.server, running.process.pid)

        assert most - before < BOUND
        for item in ITEMS:
            with json_client(running.server, item, replay=MESSAGES) as reader:
                assert [reader.read()["offset"] for _ in range(MESSAGES)][-1] == MESSAGES
