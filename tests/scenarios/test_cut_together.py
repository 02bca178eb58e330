"""Sockets that are cut together, as when a proxy ends, while others are on their items."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Final

from itemwire.fastpath.shared_state import ENDS_AT_ONCE
from itemwire.testing import LiveServer
from tests.scenarios.clients import EVERYTHING, JSON, PATIENCE, item_path, json_client, token
from tests.scenarios.processes import started
from tests.server_process import wait_until_stopped

CUT: Final = 3 * ENDS_AT_ONCE  # those of the first turn leave, and the others wait
SERVE: Final = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]


def joined(server: LiveServer, item_id: str) -> socket.socket:
    """Join an item with a socket that can be cut, and be welcomed."""
    path = item_path(item_id, {"token": token(scope=EVERYTHING)})
    client = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), PATIENCE)
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {JSON}\r\n\r\n".encode()
    )
    received = b""
    while b'"welcome"' not in received:
        received += client.recv(65_536)
    return client


def test_nothing_is_written_to_sockets_that_are_cut_and_wait_to_end(
    tmp_path: Path, item_id: str
) -> None:
    """They were told of those that left before them: each write failed, and was logged."""
    with started(SERVE, tmp_path, presence_grace="0") as run:
        with json_client(run.server, item_id, scope=EVERYTHING) as stays:
            cut = [joined(run.server, item_id) for _ in range(CUT)]
            os.kill(run.process.pid, signal.SIGSTOP)
            wait_until_stopped([run.process.pid])
            for client in cut:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            os.kill(run.process.pid, signal.SIGCONT)
            left = 0
            while left < CUT:
                left += stays.read()["type"] == "left"
            answer = stays.ask("ping")
        run.stop()
        run.process.wait(PATIENCE)

    assert answer["type"] == "pong"
    assert not [line for line in run.lines if "write_failed" in line]
