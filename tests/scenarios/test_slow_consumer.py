"""A client that never reads: it harms nobody, and is told why it had to go."""

import json
import socket
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO
from urllib.parse import urlsplit

import pytest
from websockets.frames import Frame, Opcode

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PLAIN,
    Envelope,
    item_path,
    json_client,
    plain_client,
    token,
)
from tests.scenarios.conftest import Serve
from tests.timing import BUSY_SECONDS

PAYLOAD_BYTES = 60_000
COUNT = 350  # about 20 MiB: more than all buffers of kernel and server together
PROMPTLY = 2.0 + BUSY_SECONDS  # for one message to reach one healthy subscriber
SLOW_CONSUMER = (1008).to_bytes(2, "big") + b"slow_consumer"
ENDED_WITHIN = 15.0  # the server gives a peer 9 s to take what was sent to it


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[LiveServer]:
    """A server that announces at once which clients it has cut off."""
    with serve(Settings(secret=SECRET, presence_grace=0, _env_file=None)) as running:
        yield running


@pytest.mark.parametrize("subprotocol", [PLAIN, JSON])
def test_a_client_that_never_reads_harms_nobody(
    server: LiveServer, item_id: str, subprotocol: str
) -> None:
    """The tutorial's broadcast stopped for all after 29 of 100 messages."""
    filler = "x" * PAYLOAD_BYTES
    with (
        json_client(server, item_id, scope=EVERYTHING) as alice,
        plain_client(server, item_id) as bob,
        _stuck(server, item_id, subprotocol) as stuck,
    ):
        told: list[str] = []
        offsets: list[int] = []
        for number in range(1, COUNT + 1):
            offsets.append(alice.ask("publish", data=f"{number} {filler}")["offset"])
            assert bob.recv(timeout=PROMPTLY) == f"{number} {filler}"
            while (envelope := alice.read())["type"] != "message":
                told.append(f"{envelope['type']} {envelope['member']['subject']}")
            assert envelope["offset"] == number
        members = [member["subject"] for member in alice.ask("members")["members"]]
        *_, close = _frames_until(stuck, SLOW_CONSUMER)

    assert offsets == list(range(1, COUNT + 1))
    assert told == ["joined bob", "joined stuck", "left stuck"]
    assert sorted(members) == ["alice", "bob"]
    # A peer that stays stuck for longer is cut off; this one reads on and finds the close.
    assert close.opcode is Opcode.CLOSE


def test_a_client_that_reads_late_but_in_time_gets_everything(
    server: LiveServer, item_id: str
) -> None:
    """Slowness is no fault until the buffer is full: a page in a tunnel loses nothing."""
    with (
        json_client(server, item_id) as alice,
        _stuck(server, item_id, PLAIN) as late,
    ):
        for number in range(1, 11):
            alice.ask("publish", data=f"{number} {'x' * PAYLOAD_BYTES}")
        alice.ask("publish", data="end")
        alice.messages(11)
        frames = _frames_until(late, b"end")

    assert [bytes(frame.data).split()[0] for frame in frames[:-1]] == [
        b"%d" % n for n in range(1, 11)
    ]


@pytest.mark.parametrize("word", ["drop_oldest", "drop_newest"])
def test_a_client_whose_messages_are_dropped_is_told_which(
    serve: Serve, settings: Settings, item_id: str, word: str
) -> None:
    """Every message reaches it or is in a `gap` in its place; then it is live as before."""
    with (
        serve(settings.model_copy(update={"slow_consumers": f"{item_id}={word}"})) as server,
        json_client(server, item_id) as alice,
        _stuck(server, item_id, JSON) as stuck,
        closing(_envelopes(stuck)) as reading,  # a file that is open keeps the socket open
    ):
        for number in range(COUNT):
            alice.ask("publish", data=f"{number} {'x' * PAYLOAD_BYTES}")
        seen = [next(reading)]
        while last_of(seen[-1]) < COUNT:
            seen.append(next(reading))
        alice.ask("publish", data="end")
        end = next(reading)

    assert [first_of(one) for one in seen[1:]] == [last_of(one) + 1 for one in seen[:-1]]
    assert first_of(seen[0]) == 1
    assert any(one["type"] == "gap" for one in seen)
    assert (end["offset"], end["data"]) == (COUNT + 1, "end")


def first_of(envelope: Envelope) -> int:
    """Give the offset of a message, or the first of a gap."""
    return int(envelope["offset"] if envelope["type"] == "message" else envelope["from"])


def last_of(envelope: Envelope) -> int:
    """Give the offset of a message, or the last of a gap."""
    return int(envelope["offset"] if envelope["type"] == "message" else envelope["to"])


@contextmanager
def _stuck(server: LiveServer, item_id: str, subprotocol: str) -> Iterator[socket.socket]:
    """Complete a handshake as `stuck` with a small receive buffer, and read nothing more."""
    address = urlsplit(server.url)
    path = item_path(item_id, {"token": token("stuck")})
    head = [
        f"GET {path} HTTP/1.1",
        f"Host: {address.netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {subprotocol}",
    ]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # before connecting: no more
        client.settimeout(ENDED_WITHIN)
        client.connect((address.hostname, address.port))
        client.sendall("\r\n".join([*head, "", ""]).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += client.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 ")
        yield client


def _envelopes(client: socket.socket) -> Generator[Envelope]:
    """Read messages and gaps as they come."""
    with client.makefile("rb") as stream:
        while True:
            envelope: Envelope = json.loads(bytes(_frame(stream).data))
            if envelope["type"] in {"message", "gap"}:
                yield envelope


def _frames_until(client: socket.socket, last: bytes) -> list[Frame]:
    """Read to a certain frame."""
    frames: list[Frame] = []
    with client.makefile("rb") as stream:
        while not frames or frames[-1].data != last:
            frames.append(_frame(stream))
    return frames


def _frame(stream: BinaryIO) -> Frame:
    """Read a whole frame, unmasked and unfragmented as servers send them."""
    head = stream.read(2)
    assert head, "the connection ended before"
    size = head[1]
    if size > 125:
        size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
    return Frame(Opcode(head[0] & 15), stream.read(size))
