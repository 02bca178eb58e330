"""Ordinary conversations have the same result on uvicorn's class and on ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from itemwire.fastpath.http import HttpProtocol
from itemwire.fastpath.protocol import WebSocketProtocol
from tests.fastpath.served import MAX_MESSAGE_BYTES, Site, frame, read_all, serving, upgrade
from tests.scenarios.clients import PATIENCE

pytestmark = pytest.mark.server


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((WebSocketsSansIOProtocol, "httptools"), id="stock"),
        pytest.param((WebSocketProtocol, HttpProtocol), id="ours"),
    ],
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run the same application on both."""
    with serving(*request.param) as site:
        yield site


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("", id="empty text"),
        pytest.param("grüße", id="text"),
        pytest.param(b"\x00\xff", id="binary"),
        pytest.param(bytes(MAX_MESSAGE_BYTES), id="largest"),
        pytest.param(["one", "two", "three"], id="fragments"),
    ],
)
def test_echoes(site: Site, message: str | bytes | list[str]) -> None:
    """Text stays text, bytes stay bytes, fragments become one message."""
    with connect(site.url()) as client:
        client.send(message)
        echo = client.recv(timeout=PATIENCE)

    assert echo == ("".join(message) if isinstance(message, list) else message)
    assert site.events.get(timeout=60) == (1000, "")


def test_answers_a_ping(site: Site) -> None:
    """Proxies and clients keep idle sockets alive this way."""
    with connect(site.url()) as client:
        answered = client.ping().wait(5)

    assert answered
    assert site.events.get(timeout=60) == (1000, "")


@pytest.mark.parametrize("offered", [["chat", "mail"], None], ids=["two", "none"])
def test_negotiates_a_subprotocol(site: Site, offered: list[Subprotocol] | None) -> None:
    """The application's choice reaches the client."""
    with connect(site.url(), subprotocols=offered) as client:
        chosen = client.subprotocol

    assert chosen == (offered[0] if offered else None)
    assert site.events.get(timeout=60) == (1000, "")


@pytest.mark.parametrize("compression", ["deflate", None])
def test_negotiates_compression(site: Site, compression: str | None) -> None:
    """Where the server allows it, it is the client's choice."""
    with connect(site.url(), compression=compression) as client:
        extensions = client.protocol.extensions
        client.send("a" * 100)
        echo = client.recv(timeout=PATIENCE)

    assert bool(extensions) == (compression is not None)
    assert echo == "a" * 100
    assert site.events.get(timeout=60) == (1000, "")


@pytest.mark.parametrize(("code", "reason"), [(1000, "bye"), (3001, ""), (4999, "grüße")])
def test_the_application_hears_how_the_client_closed(site: Site, code: int, reason: str) -> None:
    """Code and reason arrive as they were sent."""
    with connect(site.url()) as client:
        client.close(code, reason)

    assert site.events.get(timeout=60) == (code, reason)


def test_the_application_hears_a_close_without_code(site: Site) -> None:
    """RFC 6455 section 7.1.5: 1005 stands for a close frame without a code."""
    with upgrade(site) as client:
        client.sendall(frame(Opcode.CLOSE, b""))
        answer = read_all(client)

    assert answer == b"\x88\x00"
    assert site.events.get(timeout=60) == (1005, "")


def test_the_application_hears_that_a_client_vanished(site: Site) -> None:
    """A connection lost without a close frame ends the wait as well."""
    upgrade(site).close()

    assert site.events.get(timeout=60) == (1005, None)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1008, "forbidden"), (4000, "grüße")])
def test_the_client_hears_how_the_application_closed(site: Site, code: int, reason: str) -> None:
    """An accepted socket is refused this way, so the code must arrive."""
    with connect(site.url()) as client:
        client.send(f"close {code} {reason}")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=PATIENCE)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)
    assert site.events.get(timeout=60) == (code, reason)
