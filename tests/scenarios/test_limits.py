"""Frames at the size limit and over it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.sync.client import ClientConnection

from api.testing import LiveServer
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PATIENCE,
    PLAIN,
    closed,
    item_path,
    json_client,
    plain_client,
    token,
)


@pytest.mark.parametrize("size", [65_536, pytest.param(1, id="tiny")])
def test_a_frame_up_to_the_limit_is_taken(server: LiveServer, item_id: str, size: int) -> None:
    """`max_message_bytes` is itself allowed, in bytes, as text, binary or many fragments."""
    with plain_client(server, item_id) as bob:
        for sent in ("a" * size, b"a" * size, "é" * (size // 2)):
            bob.send(sent)
            assert bob.recv(timeout=PATIENCE) == sent
        bob.send(["a" * (size // 4)] * 4)
        assert bob.recv(timeout=PATIENCE) == "a" * (size // 4 * 4)


@pytest.mark.parametrize(
    "too_big",
    [
        pytest.param("a" * 65_537, id="one_more"),
        pytest.param(b"a" * 65_537, id="one_more_byte"),
        pytest.param("é" * 32_768 + "a", id="fewer_characters_than_bytes"),
        pytest.param(["a" * 60_000, "a" * 6_000], id="in_fragments"),
        pytest.param(b"\x00" * (10 << 20), id="10_mib"),
    ],
)
@pytest.mark.parametrize("subprotocol", [PLAIN, JSON])
def test_a_frame_over_the_limit_ends_the_connection(
    server: LiveServer, item_id: str, subprotocol: str, too_big: str | bytes | list[str]
) -> None:
    """A client that sends too much learns so, and nobody hears a part of it."""
    path = item_path(item_id, {"token": token("bob", EVERYTHING)})
    with json_client(server, item_id) as alice:
        with server.connect(path, subprotocols=(subprotocol,)) as bob:
            assert _closed_by(bob, too_big) == (1009, "message_too_big")
        alice.ask("publish", data="after")

        assert alice.read()["offset"] == 1


def _closed_by(connection: ClientConnection, frame: str | bytes | list[str]) -> tuple[int, str]:
    """Send what ends the connection, be it while it is being sent."""
    sending = ThreadPoolExecutor(1)
    with sending:
        sent = sending.submit(connection.send, frame)
        seen = closed(connection)
    sent.exception(PATIENCE)
    return seen
