"""What an HTTP client without a credential may send is bounded in bytes, count and time."""

from __future__ import annotations

import gc
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from itemwire.fastpath.bounded_reads import HEAD_BYTES
from itemwire.fastpath.handshake import MAX_HEAD_BYTES, MAX_HEADERS
from itemwire.fastpath.http import HttpProtocol
from tests.fastpath.served import Site, dial, head, read_all, read_until, serving
from tests.timing import BUSY_SECONDS

pytestmark = pytest.mark.server

KEEP_ALIVE = 1
CHUNKED = b"POST /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n"
END = b"\r\n\r\n"
STATUS = re.compile(rb"HTTP/1.1 (\d+) ")


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run our classes on each event loop, with a short time between two requests."""
    with serving(loop=request.param, timeout_keep_alive=KEEP_ALIVE) as site:
        yield site


def protocols(site: Site) -> list[HttpProtocol]:
    """List the HTTP connections that the server has."""
    found = list(site.server.server_state.connections)
    return [one for one in found if isinstance(one, HttpProtocol)]


def wait_until_gone(site: Site, *, seconds: float = BUSY_SECONDS) -> float:
    """Wait until the server has no connection left; return how long it took."""
    began = time.monotonic()
    while site.server.server_state.connections:
        assert time.monotonic() - began < seconds, "a connection is still open"
        time.sleep(0.02)
    return time.monotonic() - began


ENDLESS = [
    pytest.param(CHUNKED + b"0\r\n" + b"a:b\r\n" * (MAX_HEADERS + 2), id="many trailers"),
    pytest.param(CHUNKED + b"0\r\nX: " + b"a" * 2 * MAX_HEAD_BYTES, id="a trailer without end"),
    pytest.param(CHUNKED + b"0\r\n" + b"a" * 2 * MAX_HEAD_BYTES, id="a trailer's name without end"),
    pytest.param(CHUNKED + b"1;" + b"a" * 2 * MAX_HEAD_BYTES, id="a chunk extension without end"),
    pytest.param(CHUNKED + (b"1;" + b"a" * 99 + b"\r\nx\r\n") * 2000, id="many chunk extensions"),
]


@pytest.mark.parametrize("sent", ENDLESS)
def test_what_surrounds_a_body_is_bounded_as_a_head_is(site: Site, sent: bytes) -> None:
    """Trailers for ever took 600 MB, and were added to the headers that had been judged."""
    with dial(site) as client:
        client.sendall(sent)
        answer = read_all(client)

    assert STATUS.findall(answer) == [b"431"]


ORDINARY = [
    pytest.param(CHUNKED + b"1\r\nx\r\n0\r\nX-Checksum: 1\r\n\r\n", 1, id="a trailer"),
    pytest.param(CHUNKED + b"1\r\nx\r\n0\r\n" + b"a:b\r\n" * 99 + b"\r\n", 1, id="99 trailers"),
    pytest.param(CHUNKED + b"1;name=value\r\nx\r\n" * 50 + b"0\r\n\r\n", 50, id="extensions"),
    pytest.param(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n", 50_000, id="chunks of one byte"),
    pytest.param(CHUNKED + b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n", 65536, id="one chunk"),
]


@pytest.mark.parametrize(("sent", "size"), ORDINARY)
def test_an_ordinary_body_is_read_however_it_is_wrapped(site: Site, sent: bytes, size: int) -> None:
    """The twin of the refusals, and the connection goes on."""
    with dial(site) as client:
        client.sendall(sent)
        first = read_until(client, END + b"%d" % size)
        client.sendall(GET)
        second = read_until(client, END + b"0")

    assert STATUS.findall(first + second) == [b"200", b"200"]


def test_trailers_are_no_headers(site: Site) -> None:
    """RFC 9110 section 6.5.1: one that is merged could be a credential nobody judged."""
    with dial(site, b"POST /slow-page" + CHUNKED.removeprefix(b"POST /page") + b"0\r\n") as client:
        assert site.events.get(timeout=60) == "asked"
        client.sendall(b"Authorization: Bearer x\r\n\r\n")
        (protocol,) = protocols(site)
        while protocol.cycle.more_body:
            time.sleep(0.01)
        names = [name for name, _ in protocol.cycle.scope["headers"]]
        site.proceed.set()
    wait_until_gone(site)

    assert names == [b"host", b"transfer-encoding"]


def test_pipelined_requests_are_kept_as_bytes_until_it_is_their_turn(site: Site) -> None:
    """20 MiB of them took 1.5 GB; each is answered all the same, in order.

    One waits beside the one that is answered: a hundred on each of 300 connections took 120 MiB.
    """
    number = 12_000
    with dial(site) as client:
        client.setblocking(False)
        sent, pending = 0, memoryview(GET * number)
        kept = unparsed = received = 0
        answers = bytearray()
        deadline = time.monotonic() + 120
        while received < number and time.monotonic() < deadline:
            if sent < len(pending):
                with suppress(BlockingIOError):
                    sent += client.send(pending[sent:])
            for protocol in protocols(site):
                kept = max(kept, len(protocol.pipeline))
                unparsed = max(unparsed, len(protocol.unparsed))
            try:
                answers += client.recv(1 << 16)
            except BlockingIOError:
                time.sleep(0.001)
            received = answers.count(b"HTTP/1.1 200 ")

    assert received == number
    assert kept <= 2  # seen from another thread, also while the next one takes its turn
    assert unparsed <= HEAD_BYTES


def test_answers_that_nobody_reads_stop_the_reading(site: Site) -> None:
    """What is held for the client is what one read brings, and the connection goes on."""
    with dial(site) as client:
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.sendall(GET * 500_000)
        (protocol,) = protocols(site)

        assert len(protocol.pipeline) <= 200
        assert len(protocol.unparsed) <= 1 << 19
        assert protocol.transport.get_write_buffer_size() <= 1 << 18
    wait_until_gone(site)


@pytest.mark.parametrize(
    "further",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="a line break"),
        pytest.param(b"\r\n" * 50, id="line breaks"),
    ],
)
def test_a_connection_without_a_next_request_ends(site: Site, further: bytes) -> None:
    """Any byte stopped uvicorn's timer, and nothing started another."""
    with dial(site, GET) as client:
        read_until(client, END + b"0")
        client.sendall(further)
        assert client.recv(1) == b""
    wait_until_gone(site)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_time_for_a_next_request_starts_anew_with_each_response(loop: str) -> None:
    """The twin: a connection that is used is kept. The time is looked at, and not waited for."""
    ends = []
    with serving(loop=loop, timeout_keep_alive=60) as site, dial(site) as client:
        for _ in range(4):
            client.sendall(GET)
            read_until(client, END + b"0")
            (protocol,) = protocols(site)
            idle = protocol.timers.idle
            while protocol not in idle:  # the answer is read before its end is noted
                time.sleep(0.001)
            ends.append(idle._due[protocol])
            time.sleep(0.002)  # the loop's clock counts milliseconds

    assert ends == sorted(set(ends))


def test_a_body_that_nobody_reads_ends_its_connection(site: Site) -> None:
    """It was trickled for ever behind an early answer."""
    early = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx"
    with dial(site, early) as client:
        assert STATUS.findall(read_until(client, END + b"early")) == [b"200"]
        began = time.monotonic()
        while _takes(client, b"x"):
            assert time.monotonic() < began + KEEP_ALIVE + BUSY_SECONDS
    wait_until_gone(site)


def _takes(client: socket.socket, data: bytes) -> bool:
    """Send something, and return whether the server still has its side open a moment later."""
    client.settimeout(0.1)
    try:
        client.sendall(data)
        return client.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_a_next_head_that_is_not_finished_is_cut() -> None:
    """Its time starts with its first byte; the one between two requests is over then."""
    limits = {"handshake_seconds": 1.0}
    slow = type("Slow", (HttpProtocol,), limits)
    with serving(http=slow, timeout_keep_alive=5) as site, dial(site, GET) as client:
        read_until(client, END + b"0")
        client.sendall(b"GET /page HT")
        answer = read_all(client)

    assert STATUS.findall(answer) == [b"408"]


def test_a_long_answer_is_not_cut_by_the_time_between_requests(site: Site) -> None:
    """A stream of events lasts for hours."""
    with dial(site, b"GET /slow-page HTTP/1.1\r\nHost: a\r\n\r\n") as client:
        time.sleep(KEEP_ALIVE * 1.5)  # longer than the time between two requests
        site.proceed.set()
        answer = read_until(client, END + b"slow")

    assert STATUS.findall(answer) == [b"200"]


def _visit(sent: bytes, *, until: bytes | None = END) -> Callable[[Site], None]:
    """Make a visit: what is sent, and what is waited for; None: nothing, b"": the end."""

    def visit(site: Site) -> None:
        with dial(site, sent) as client:
            if until:
                read_until(client, until)
            elif until is not None:
                read_all(client)

    return visit


KINDS = {
    "request": _visit(GET, until=END + b"0"),
    "bad head": _visit(b"BAD\r\n\r\n", until=b""),
    "unfinished head": _visit(b"GET / HT", until=None),
    "unfinished body": _visit(CHUNKED, until=None),
    "early answer": _visit(
        b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", until=b"early"
    ),
    "pipeline": _visit(GET * 40 + b"BAD\r\n\r\n", until=b""),
    "socket": _visit(head()),
    "refused socket": _visit(head(without="Sec-WebSocket-Key"), until=b""),
}
CLASSES = {"HttpProtocol", "RequestResponseCycle", "WebSocketProtocol", "Observed", "HeldFlow"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_connection_held_is_free_without_a_collection(kind: str) -> None:
    """With our thresholds a collection comes after hours; 400 streams kept 4 MB until then."""
    with serving(timeout_keep_alive=KEEP_ALIVE) as site:
        KINDS[kind](site)
        wait_until_gone(site)
        gc.collect()
        before = _kept()  # of other servers in this process, which tests before have left open
        gc.disable()
        try:
            for _ in range(25):
                KINDS[kind](site)
            wait_until_gone(site)
            deadline = time.monotonic() + BUSY_SECONDS  # the loop has a callback or two to go
            while (kept := _kept() - before) and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            gc.enable()

    assert kept == {}


def _kept() -> Counter[str]:
    """Count the objects of connections that are still there."""
    return Counter(type(one).__name__ for one in gc.get_objects() if type(one).__name__ in CLASSES)
