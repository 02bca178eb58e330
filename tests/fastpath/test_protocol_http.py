"""Which request heads are refused, with which status, and which are accepted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from itemwire.fastpath.handshake import MAX_HEAD_BYTES
from tests.fastpath.served import Site, dial, head, read_all, read_until, serving
from tests.timing import BUSY_SECONDS

pytestmark = pytest.mark.server

SECRET = "s3cret"
KEY = "Sec-WebSocket-Key"
VERSION = "Sec-WebSocket-Version"
STREAM = b"GET /echo HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run our classes, on each event loop."""
    with serving(loop=request.param) as site:
        yield site


@pytest.fixture(scope="module")
def half_site() -> Iterator[Site]:
    """Run our WebSocket class under uvicorn's HTTP class."""
    with serving(http="httptools") as site:
        yield site


def _exactly(size: int) -> bytes:
    padding = size - len(head("/echo", "X: "))
    return head("/echo", "X: " + "a" * padding)


REFUSED = [
    pytest.param(head(f"/echo?token={SECRET}" + "a" * MAX_HEAD_BYTES), 414, id="long line"),
    pytest.param(head("/echo", f"X: {SECRET}" + "a" * MAX_HEAD_BYTES), 431, id="long header"),
    pytest.param(_exactly(MAX_HEAD_BYTES + 1), 431, id="one byte over"),
    pytest.param(
        head("/echo", f'Cookie: a="{SECRET}{chr(92) * 60_000}"'), 400, id="quadratic cookie"
    ),
    pytest.param(head("/echo", *(f"X-{n}: {SECRET}" for n in range(124))), 431, id="129 headers"),
    pytest.param(b"GET /" + b"a" * MAX_HEAD_BYTES, 414, id="line without end"),
    pytest.param(STREAM + b"X: " + b"a" * MAX_HEAD_BYTES, 431, id="header without end"),
    pytest.param(STREAM + b"a:\r\n" * 200, 431, id="headers without end"),
    pytest.param(b"\r\n" * MAX_HEAD_BYTES, 431, id="empty lines without end"),
    pytest.param(head("/echo", "Content-Length: 6") + SECRET.encode(), 400, id="body"),
    pytest.param(head("/echo", "Content-Length: 6"), 400, id="body announced"),
    pytest.param(head("/echo", "Transfer-Encoding: chunked"), 400, id="chunked body"),
    pytest.param(
        head("/echo", "Content-Length: 0", "Transfer-Encoding: chunked"), 400, id="two lengths"
    ),
    pytest.param(head("/echo", f"{VERSION}: 8", without=VERSION), 426, id="version 8"),
    pytest.param(head(without=VERSION), 426, id="no version"),
    pytest.param(head(without=KEY), 400, id="no key"),
    pytest.param(head("/echo", f"{KEY}: {SECRET}", without=KEY), 400, id="undecodable key"),
    pytest.param(head("/echo", f"{KEY}: c2hvcnQ=", without=KEY), 400, id="short key"),
    pytest.param(head("/echo", f"{KEY}: dGhlIHNhbXBsZSBub25jZQ=="), 400, id="two keys"),
    pytest.param(head("/echo", f"Sec-WebSocket-Protocol: {SECRET}@"), 400, id="bad subprotocol"),
    pytest.param(head(without="Host"), 400, id="no host"),
    pytest.param(head("/echo", "Host: b"), 400, id="two hosts"),
    pytest.param(f"GARBAGE {SECRET}\r\n\r\n".encode(), 400, id="not HTTP"),
]

ACCEPTED = [
    pytest.param(head(), id="plain"),
    pytest.param(head("/echo?token=" + "a" * 20_000), id="oversized token"),
    pytest.param(head("/echo", "Cookie: session=" + "a" * 20_000), id="large cookie"),
    pytest.param(_exactly(MAX_HEAD_BYTES), id="just within the limit"),
    pytest.param(head("/echo", *(f"X-{n}: a" for n in range(123))), id="128 headers"),
    pytest.param(head("/echo", "Content-Length: 0"), id="no body"),
    pytest.param(b"\r\n" + head(), id="empty line ahead"),
]


@pytest.mark.parametrize(("request_head", "status"), REFUSED)
def test_refuses_a_bad_head_within_a_second(
    site: Site, request_head: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Silence costs the client its timeout and us the socket; the answer repeats no secret."""
    with dial(site, request_head) as client:
        client.settimeout(1 + BUSY_SECONDS)
        answer = read_all(client).decode()

    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "\r\ncache-control: no-store\r\n" in answer  # RFC 9110 section 15.5.15 (requirement 26)
    assert SECRET not in answer + caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("request_head", ACCEPTED)
def test_accepts_a_head_within_the_limits(site: Site, request_head: bytes) -> None:
    """An oversized token has to reach the application, which refuses it with a close code."""
    with dial(site, request_head) as client:
        answer = client.recv(1 << 16)

    assert answer.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("without", [KEY, VERSION])
def test_tells_the_version_that_would_do(site: Site, without: str) -> None:
    """RFC 6455 section 4.4: a client may try again with a version the server named."""
    with dial(site, head(without=without)) as client:
        answer = read_all(client).decode()

    assert "\r\nsec-websocket-version: 13\r\n" in answer.lower()


def test_counts_a_head_that_arrives_in_pieces(site: Site) -> None:
    """The limit is on the whole head, not on what one read returns."""
    with dial(site, STREAM) as client:
        for _ in range(8):
            client.sendall(b"X: " + b"a" * 8190 + b"\r\n")
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 431 ")


def test_answers_a_client_that_is_still_sending(site: Site) -> None:
    """A reset would overtake the answer: asyncio's streams drop what they have read by then."""

    async def send_on() -> bytes:
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(STREAM + b"X: " + b"a" * (8 << 20))
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer

    answer = asyncio.run(send_on())

    assert answer.startswith(b"HTTP/1.1 431 ")


def test_does_not_count_bodies_as_heads(site: Site) -> None:
    """A publisher may post more than a head may have, and again on the same connection."""
    post = b"POST /page HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100_000
    last = b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with dial(site, post * 3 + last) as client:
        answer = read_all(client)

    assert re.findall(rb"\r\n\r\n(\d+)", answer) == [b"100000"] * 3 + [b"0"]


def test_counts_the_second_head_of_a_connection(site: Site) -> None:
    """A kept-alive connection is no way around the limit."""
    with dial(site, b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n") as client:
        first = read_until(client, b"\r\n\r\n0")
        client.sendall(STREAM + b"X: " + b"a" * MAX_HEAD_BYTES)
        second = read_all(client)

    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 431 ")


def test_a_bad_head_does_not_spoil_the_answer_before_it(site: Site) -> None:
    """The good request gets its own answer, then the bad one its own, and that is the end."""
    with dial(
        site, b"POST /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxBAD\r\n"
    ) as client:
        answer = read_all(client)

    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200", b"400"]


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        pytest.param(b"GET /page HTTP/1.0\r\n\r\n", 200, id="HTTP 1.0 without host"),
        pytest.param(b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, id="one"),
        pytest.param(b"GET /page HTTP/1.1\r\n\r\n", 400, id="none"),
        pytest.param(b"GET /page HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two"),
    ],
)
def test_plain_requests_name_one_host(site: Site, request_head: bytes, status: int) -> None:
    """RFC 9112 section 3.2: none is an error since HTTP/1.1, two are one always."""
    with dial(site, request_head) as client:
        answer = read_all(client)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        pytest.param(head("/echo?" + "a" * MAX_HEAD_BYTES), 414, id="long line"),
        pytest.param(head("/echo", "X: " + "a" * MAX_HEAD_BYTES), 431, id="long header"),
        pytest.param(head("/echo", *("X: a" for _ in range(124))), 431, id="129 headers"),
        pytest.param(head("/echo", "Content-Length: 6"), 400, id="body"),
        pytest.param(head("/echo?" + "a" * 20_000), 101, id="oversized token"),
    ],
)
def test_the_websocket_class_answers_under_stock_http(
    half_site: Site, request_head: bytes, status: int
) -> None:
    """`uvicorn --ws` alone takes one of the two classes; it must not fall silent."""
    with dial(half_site, request_head) as client:
        client.settimeout(1 + BUSY_SECONDS)
        answer = client.recv(1 << 16)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
