"""A request whose upgrade is declined is read as if it had not asked, wherever it is cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from itemwire.fastpath.pieces import PIECE_BYTES
from tests.fastpath.served import Site, dial, head, read_all, serving

pytestmark = pytest.mark.server

LAST = b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
BODY = b"a body"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run our classes."""
    with serving() as site:
        yield site


def asking(size: int = 0) -> bytes:
    """Write the head of a request that asks for HTTP/2, padded to so many bytes."""
    lines = [
        b"POST /page HTTP/1.1",
        b"Host: a",
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQAAP__",
        b"Content-Length: %d" % len(BODY),
        b"X: ",
    ]
    bare = b"\r\n".join([*lines, b"\r\n"])
    lines[-1] += b"a" * max(size - len(bare), 0)
    return b"\r\n".join([*lines, b"\r\n"])


CUT = [*range(PIECE_BYTES - 1, PIECE_BYTES + 6)]
"""Sizes of a head whose end lies on either side of a piece's end, or across it."""


@pytest.mark.parametrize("size", [0, *CUT, 2 * PIECE_BYTES + 1])
def test_bodies_and_requests_behind_it_stay_whole(site: Site, size: int) -> None:
    """Several in a row, each of which is read again."""
    with dial(site, (asking(size) + BODY) + (asking() + BODY) * 3 + LAST) as client:
        answer = read_all(client)

    assert re.findall(rb"\r\n\r\n(\d+)", answer) == [b"%d" % len(BODY)] * 4 + [b"0"]


@pytest.mark.parametrize("size", [0, *CUT])
def test_a_handshake_behind_it_keeps_its_frames(site: Site, size: int) -> None:
    """What comes right behind a handshake is for the socket."""
    text = b"\x81\x81\0\0\0\0x"  # masked by zeros (RFC 6455 section 5.2)
    with dial(site, asking(size) + BODY + head("/echo") + text) as client:
        received = b""
        while not received.endswith(b"\x81\x01x"):
            data = client.recv(1 << 16)
            assert data, received
            received += data

    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 101 " in received


@pytest.mark.parametrize("line", ["GET {} HTTP/1.0", "POST {} HTTP/1.1", "POST {} HTTP/1.0"])
def test_a_handshake_that_can_be_none_is_a_request(site: Site, line: str) -> None:
    """HTTP/1.0 has no upgrade (RFC 9110 section 7.8), and a handshake is a GET."""
    asked = head("/page", f"Content-Length: {len(BODY)}", line=line) + BODY
    with dial(site, asked + LAST) as client:
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert re.findall(rb"\r\n\r\n(\d+)", answer)[0] == b"%d" % len(BODY)


FORMS = [
    ("Connection: Upgrade", "Connection: keep-alive", "Upgrade: websocket"),
    ("Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"),
    ("Connection: keep-alive,\tUPGRADE ,", "Upgrade: WebSocket "),
    ("Connection: Upgrade", "Upgrade: websocket, h2c"),
    ("Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"),
    ("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"),
]


@pytest.mark.parametrize("form", FORMS, ids=" | ".join)
def test_a_handshake_is_one_however_its_lists_are_written(
    site: Site, form: tuple[str, ...]
) -> None:
    """RFC 9110 section 5.6.1; uvicorn reads the last line of each alone."""
    asked = head().replace(b"Connection: Upgrade\r\n", b"").replace(b"Upgrade: websocket\r\n", b"")
    with dial(site, asked[:-2] + "\r\n".join([*form, "", ""]).encode()) as client:
        answer = client.recv(1 << 16)

    assert answer.startswith(b"HTTP/1.1 101 ")


def test_what_is_ambiguous_is_refused_all_the_same(site: Site) -> None:
    """The second reading is as strict as the first."""
    two = asking().replace(b"Host: a", b"Host: a\r\nTransfer-Encoding: chunked")
    with dial(site, two + BODY) as client:
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 400 ")
