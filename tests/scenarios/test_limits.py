"""Frames at the size limit and over it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.sync.client import ClientConnection

from itemwire.testing import LiveServer
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
from tests.scenarios.conftest import fastpath_only, stock_only

TOO_BIG: dict[str, str | bytes | list[str]] = {
    "one_more": "a" * 65_537,
    "one_more_byte": b"a" * 65_537,
    "fewer_characters_than_bytes": "é" * 32_768 + "a",
    "in_fragments": ["a" * 60_000, "a" * 6_000],
    "10_mib": b"\x00" * (10 << 20),
}
SENT_AT_ONCE = {name: frame for name, frame in TOO_BIG.items() if name != "10_mib"}


@pytest.mark.parametrize("size", [65_536, pytest.param(1, id="tiny")])
def test_a_frame_up_to_the_limit_is_taken(server: LiveServer, item_id: str, size: int) -> None:
    """`max_message_bytes` is itself allowed, in bytes, as text, binary or many fragments."""
    with plain_client(server, item_id) as bob:
        for sent in ("a" * size, b"a" * size, "é" * (size // 2)):
            bob.send(sent)
            assert bob.recv(timeout=PATIENCE) == sent
        bob.send(["a" * (size // 4)] * 4)
        assert bob.recv(timeout=PATIENCE) == "a" * (size // 4 * 4)


@fastpath_only
@pytest.mark.parametrize("too_big", TOO_BIG.values(), ids=TOO_BIG)
@pytest.mark.parametrize("subprotocol", [PLAIN, JSON])
def test_a_frame_over_the_limit_ends_the_connection(
    server: LiveServer, item_id: str, subprotocol: str, too_big: str | bytes | list[str]
) -> None:
    """A client that sends too much learns so, and nobody hears a part of it."""
    assert _told_of(server, item_id, subprotocol, too_big) == (1009, "message_too_big")


@stock_only
@pytest.mark.parametrize("too_big", SENT_AT_ONCE.values(), ids=SENT_AT_ONCE)
@pytest.mark.parametrize("subprotocol", [PLAIN, JSON])
def test_on_stock_the_code_alone_tells_of_a_frame_over_the_limit(
    server: LiveServer, item_id: str, subprotocol: str, too_big: str | bytes | list[str]
) -> None:
    """Its library gives a sentence for a reason; nobody hears a part of it here either.

    Who is in the middle of 10 MiB may not even get the code: a reset overtakes the close frame.
    """
    code, reason = _told_of(server, item_id, subprotocol, too_big)

    assert code == 1009
    assert "limit of 65536 bytes" in reason


def _told_of(
    server: LiveServer, item_id: str, subprotocol: str, too_big: str | bytes | list[str]
) -> tuple[int, str]:
    """Send too much while another listens; tell how that ends, once it is sure nobody heard it."""
    path = item_path(item_id, {"token": token("bob", EVERYTHING)})
    with json_client(server, item_id) as alice:
        with server.connect(path, subprotocols=(subprotocol,)) as bob:
            told = _closed_by(bob, too_big)
        alice.ask("publish", data="after")

        assert alice.read()["offset"] == 1
    return told


def _closed_by(connection: ClientConnection, frame: str | bytes | list[str]) -> tuple[int, str]:
    """Send what ends the connection, be it while it is being sent."""
    sending = ThreadPoolExecutor(1)
    with sending:
        sent = sending.submit(connection.send, frame)
        seen = closed(connection)
    sent.exception(PATIENCE)
    return seen


@fastpath_only
@pytest.mark.parametrize(
    ("breach", "reason"),
    [
        pytest.param("a" * 65_537, "message_too_big", id="too-big"),
        pytest.param([b"\xff"], "payload_invalid", id="no-utf8"),
    ],
)
def test_what_the_server_itself_refuses_is_told_in_an_envelope_too(
    server: LiveServer, item_id: str, breach: str | list[bytes], reason: str
) -> None:
    """Else a client would have to know which closes come with a verdict, and which do not."""
    with json_client(server, item_id) as alice:
        alice.connection.send(breach, text=True)
        told = alice.read()
        end = closed(alice.connection)

    assert (told["type"], told["retry"], told["retry_after_ms"]) == ("closing", "never", 0)
    assert (told["code"], told["reason"]) == end
    assert end[1] == reason
