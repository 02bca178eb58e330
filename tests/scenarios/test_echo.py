"""The connectivity probe: what goes in comes out, for anyone who has a credential."""

import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import JSON, PATIENCE, PLAIN, closed, token
from tests.scenarios.conftest import Door, fastpath_only

FRAMES: dict[str, str | bytes] = {
    "text": "hello",
    "not_ascii": "žluť \U0001f40e",
    "empty_text": "",
    "json": '{"type": "publish",  "data": [1, null]}',
    "broken_json": '{"type":',
    "binary": b"\x00\xff",
    "empty_binary": b"",
    "as_large_as_may_be": b"a" * 65_536,
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("subprotocols", [(), (PLAIN,), (JSON,)], ids=["none", "plain", "json"])
def test_echoes_every_frame_as_it_came(
    server: LiveServer, subprotocols: tuple[str, ...], frame: str | bytes
) -> None:
    """Anyone who debugs a proxy wants to see the same bytes again, whatever they are."""
    with server.connect(f"/ws/echo?token={token()}", subprotocols=subprotocols) as connection:
        connection.send(frame)

        assert connection.recv(timeout=PATIENCE) == frame
        assert connection.subprotocol == (subprotocols[0] if subprotocols else None)


def test_echoes_in_order(server: LiveServer) -> None:
    """Frames that come in one packet go back one by one."""
    with server.connect(f"/ws/echo?token={token()}") as connection:
        for number in range(50):
            connection.send(str(number))
        received = [connection.recv(timeout=PATIENCE) for _ in range(50)]

    assert received == [str(number) for number in range(50)]


def test_nobody_else_hears_an_echo(server: LiveServer) -> None:
    """It is a probe, not a channel."""
    path = f"/ws/echo?token={token()}"
    with server.connect(path) as one, server.connect(path) as other:
        one.send("mine")
        assert one.recv(timeout=PATIENCE) == "mine"
        other.send("yours")

        assert other.recv(timeout=PATIENCE) == "yours"


def test_echoing_needs_no_right(server: LiveServer) -> None:
    """A token that opens no item still shows that the way is open."""
    with server.connect(f"/ws/echo?token={token(scope='')}") as connection:
        connection.send("hello")

        assert connection.recv(timeout=PATIENCE) == "hello"


def test_echoing_needs_a_credential(door: Door) -> None:
    """An open echo is a gift to anyone who looks for one."""
    bearer = {"Authorization": f"Bearer {door.tokens.good()}"}
    with door.server.connect("/ws/echo", headers=bearer) as connection:
        connection.send("hello")
        heard = connection.recv(timeout=PATIENCE)

    assert heard == "hello"
    assert door.refusal("/ws/echo") == door.says("credentials_missing")
    assert door.refusal("/ws/echo?token=x") == door.says("credentials_invalid")


@fastpath_only
def test_a_frame_over_the_limit_ends_the_echo(server: LiveServer) -> None:
    """One limit for all sockets; stock gives the code with a reason of its library's."""
    with server.connect(f"/ws/echo?token={token()}") as connection:
        connection.send("a" * 65_537)

        assert closed(connection) == (1009, "message_too_big")
