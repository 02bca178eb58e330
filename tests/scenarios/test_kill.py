"""A server that is killed in the middle of its work, and the next one on the same file."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.scenarios.clients import PATIENCE, Envelope, json_client
from tests.scenarios.processes import Started, started

MESSAGES: Final = 10_000
IN_FLIGHT: Final = 500  # one connection may have 1000 that are not answered
KILLED_AFTER: Final = 5_000  # of their answers have come


def server(folder: Path) -> AbstractContextManager[Started]:
    """Run `itemwire serve` on the folder's file, as an operator does."""
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
    return started(
        command,
        folder,
        engine_url="sqlite:///itemwire.db",
        history_size=str(2 * MESSAGES),
        history_bytes="100000000",
        outbox_bytes="100000000",
    )


def publish(connection: ClientConnection, numbers: list[int]) -> Iterator[Envelope]:
    """Publish, always so many ahead of the answers; give these."""
    for sent, number in enumerate(numbers):
        frame = {"type": "publish", "ref": number, "data": number, "key": f"n{number}"}
        connection.send(json.dumps(frame))
        if sent >= IN_FLIGHT:
            yield next_reply(connection)
    for _ in range(min(IN_FLIGHT, len(numbers))):
        yield next_reply(connection)


def next_reply(connection: ClientConnection) -> Envelope:
    """Read an answer, past the messages that are told meanwhile."""
    while (envelope := json.loads(connection.recv(timeout=PATIENCE)))["type"] != "reply":
        pass
    return dict(envelope)


def until_the_end(connection: ClientConnection) -> Iterator[Envelope]:
    """Read the answers that were under way."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            yield next_reply(connection)


def test_no_acknowledged_message_is_lost_when_the_server_is_killed(
    tmp_path: Path, item_id: str
) -> None:
    """What was answered is there, in its place, and the count goes on.

    A client without an answer repeats its publish with the same key: each message is stored once.
    """
    numbers = list(range(MESSAGES))
    with server(tmp_path) as first, json_client(first.server, item_id) as client:
        replies = list(islice(publish(client.connection, numbers), KILLED_AFTER))
        first.process.send_signal(signal.SIGKILL)
        replies += until_the_end(client.connection)
    before = {reply["ref"]: reply for reply in replies}
    with server(tmp_path) as second, json_client(second.server, item_id) as client:
        history = client.ask("history", after=0, limit=2 * MESSAGES)
        rest = [number for number in numbers if number not in before]
        after = list(publish(client.connection, rest))
        last = client.ask("history", after=0, limit=2 * MESSAGES)

    stored = {one["offset"]: one["data"] for one in history["messages"]}
    assert KILLED_AFTER <= len(before) < MESSAGES
    assert first.process.returncode == -signal.SIGKILL
    assert {reply["offset"]: number for number, reply in before.items()}.items() <= stored.items()
    assert list(stored) == list(range(1, len(stored) + 1))
    assert history["complete"]
    assert {one["epoch"] for one in (*replies, *after, history)} == {last["epoch"]}
    assert [one["offset"] for one in last["messages"]] == list(range(1, MESSAGES + 1))
    assert sorted(one["data"] for one in last["messages"]) == numbers
