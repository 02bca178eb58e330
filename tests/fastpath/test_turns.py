"""What comes on many connections together is done a little in each turn of the event loop."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from typing_extensions import override
from websockets.frames import Opcode

from itemwire.fastpath.extension import EXTENSION, Socket
from itemwire.fastpath.frames import FrameReader
from itemwire.fastpath.http import HttpProtocol
from itemwire.fastpath.protocol import MESSAGES_A_RUN
from itemwire.fastpath.shared_state import ENDS_AT_ONCE, MESSAGE_RUNS_AT_ONCE
from itemwire.messages import Frame
from itemwire.pacing import AT_ONCE
from tests.fastpath import served
from tests.fastpath.handing import Noting
from tests.fastpath.served import (
    Receive,
    Send,
    Site,
    close_frame,
    dial,
    frame,
    head,
    read_all,
    read_until,
    serving,
    upgrade,
)

pytestmark = pytest.mark.server

CLIENTS = 20
MESSAGES = 100
MESSAGES_A_TURN = MESSAGES_A_RUN * MESSAGE_RUNS_AT_ONCE
END = b"\r\n\r\n"
REQUEST = b"GET /noted HTTP/1.1\r\nHost: a\r\n\r\n"


class Noted:
    """An application that notes in which turn of the event loop it is asked for something."""

    def __init__(self) -> None:
        self.turn = 0
        self.seen: list[tuple[int, object]] = []
        self.is_complete = threading.Event()
        self.expected = 0
        self.notes_ends = False
        self.gone: list[Callable[[bytes], object]] = []

    def expect(self, number: int) -> None:
        """Count anew, up to so many."""
        self.seen, self.expected = [], number
        self.is_complete.clear()

    def note(self, what: object) -> None:
        """Note what was asked for."""
        self.seen.append((self.turn, what))
        if len(self.seen) == self.expected:
            self.is_complete.set()

    def tick(self) -> None:
        """Count the turns of the event loop until all is seen."""
        self.turn += 1
        if not self.is_complete.is_set():
            asyncio.get_running_loop().call_soon(self.tick)

    async def __call__(
        self, _site: Site, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Note a request, and answer it; hand a socket over."""
        if scope["type"] == "http":
            self.note("request")
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await receive()
            self.note("handshake")
            await send({"type": "websocket.accept"})
            scope["extensions"][EXTENSION]["detach"](self.open)

    def open(self, socket: Socket) -> NotingMessages:
        """Make a receiver."""
        return NotingMessages(socket, self)

    async def hold_up(
        self, site: Site, _scope: dict[str, Any], _receive: Receive, send: Send
    ) -> None:
        """Hold up the whole event loop, so that all that comes meanwhile is there at once."""
        self.tick()
        site.events.put("held up")
        site.proceed.wait(5)
        site.proceed.clear()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class NotingMessages(Noting):
    """A receiver that notes the turn in which each message comes."""

    def __init__(self, socket: Socket, noted: Noted) -> None:
        super().__init__(socket)
        self._noted = noted

    @override
    def received(self, frame: Frame) -> None:
        self._noted.note(frame)

    @override
    def gone(self) -> None:
        self._noted.gone.append(self.socket.write)

    @override
    def closed(self, code: int) -> None:
        if self._noted.notes_ends:
            self._noted.note(code)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run our classes on each event loop."""
    with serving(loop=request.param) as site:
        yield site


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    """Put the application there."""
    noted = Noted()
    monkeypatch.setitem(served.ROUTES, "/noted", noted)
    monkeypatch.setitem(served.ROUTES, "/hold-up", noted.hold_up)
    return noted


@pytest.fixture
def clients(site: Site) -> Iterator[list[socket.socket]]:
    """Open connections, all of which the server knows of."""
    with ExitStack() as stack:
        yield [_known(site, stack.enter_context(dial(site))) for _ in range(CLIENTS)]


def _known(site: Site, client: socket.socket) -> socket.socket:
    """Return a connection once a request of it was answered."""
    client.sendall(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
    read_until(client, END + b"0")
    return client


def _protocol_of(site: Site, client: socket.socket) -> HttpProtocol:
    """Return the server's side of a connection."""
    address = client.getsockname()
    found = list(site.server.server_state.connections)
    return next(one for one in found if isinstance(one, HttpProtocol) and one.client == address)


@contextmanager
def held_up(site: Site) -> Generator[None]:
    """Hold up the server meanwhile."""
    with dial(site, b"GET /hold-up HTTP/1.1\r\nHost: a\r\n\r\n"):
        assert site.events.get(timeout=60) == "held up"
        yield
        site.proceed.set()


def most_in_a_turn(noted: Noted) -> int:
    """Return the most that was begun in one turn of the event loop, once all was."""
    assert noted.is_complete.wait(10)
    return max(Counter(turn for turn, _ in noted.seen).values())


def test_few_requests_of_all_connections_begin_in_a_turn(
    site: Site, noted: Noted, clients: list[socket.socket]
) -> None:
    """Those of 300 connections began together, and a neighbour waited for all of them."""
    noted.expect(CLIENTS)
    with held_up(site):
        for client in clients:
            client.sendall(REQUEST)

    assert most_in_a_turn(noted) == AT_ONCE


def test_few_pipelined_requests_of_all_connections_begin_in_a_turn(
    site: Site, noted: Noted, clients: list[socket.socket]
) -> None:
    """One that was parsed already begins when the one before it is answered: twice as many."""
    noted.expect(5 * CLIENTS)
    with held_up(site):
        for client in clients:
            client.sendall(5 * REQUEST)

    assert most_in_a_turn(noted) <= 2 * AT_ONCE
    for client in clients:
        assert read_answers(client, 5) == 5


def test_few_handshakes_of_all_connections_begin_in_a_turn(
    site: Site, noted: Noted, clients: list[socket.socket]
) -> None:
    """A handshake costs the most of all."""
    noted.expect(CLIENTS)
    with held_up(site):
        for client in clients:
            client.sendall(head("/noted"))

    assert most_in_a_turn(noted) == AT_ONCE


def test_a_request_alone_does_not_wait(site: Site, noted: Noted) -> None:
    """The twin: it begins as soon as it is read, however many came before."""
    noted.expect(2 * AT_ONCE)
    with dial(site) as client:
        for _ in range(2 * AT_ONCE):
            client.sendall(REQUEST)
            read_until(client, END)

    assert noted.is_complete.is_set()


def test_a_connection_that_waits_for_us_is_not_cut(site: Site, noted: Noted) -> None:
    """Its time is for what its peer has yet to send; a long line is no fault of it."""
    done = threading.Event()

    def let_time_pass(protocol: HttpProtocol) -> None:
        protocol.is_in_line = True
        protocol.fail_slow_head()
        protocol.end_idle_connection()
        protocol.is_in_line = False
        done.set()

    noted.expect(1)
    with dial(site) as client:
        _known(site, client)
        protocol = _protocol_of(site, client)
        protocol.loop.call_soon_threadsafe(let_time_pass, protocol)
        assert done.wait(5)
        client.sendall(REQUEST)

        assert read_answers(client, 1) == 1


def test_a_body_beside_a_flood_comes_whole(site: Site, clients: list[socket.socket]) -> None:
    """What is in pieces beside a flood is put together as it was sent."""
    size = 300_000
    asked = b"POST /page HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
    for client in clients:
        client.setblocking(False)
        client.send(20 * REQUEST.replace(b"/noted", b"/page"))
    with dial(site, asked + bytes(size)) as client:
        assert read_until(client, b"%d" % size).startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def sockets(site: Site, noted: Noted) -> Iterator[list[socket.socket]]:
    """Open sockets, handed over."""
    noted.expect(CLIENTS)
    with ExitStack() as stack:
        yield [stack.enter_context(upgrade(site, "/noted")) for _ in range(CLIENTS)]


def test_few_messages_of_all_sockets_are_read_in_a_turn(
    site: Site, noted: Noted, sockets: list[socket.socket]
) -> None:
    """Each of twenty sockets had 64 messages in each turn; one that sends one need not wait."""
    *busy, neighbour = sockets
    noted.expect(len(busy) * MESSAGES + 1)
    with held_up(site):
        for number, client in enumerate(busy):
            texts = (b"%d:%d" % (number, message) for message in range(MESSAGES))
            client.sendall(b"".join(frame(Opcode.TEXT, text) for text in texts))
        neighbour.sendall(frame(Opcode.TEXT, b"neighbour"))

    assert most_in_a_turn(noted) <= MESSAGES_A_TURN + CLIENTS
    began = noted.seen[0][0]
    assert next(turn for turn, text in noted.seen if text == "neighbour") <= began + 1
    for number in range(len(busy)):
        mine = [str(text) for _, text in noted.seen if str(text).startswith(f"{number}:")]
        assert mine == [f"{number}:{message}" for message in range(MESSAGES)]


def test_few_sockets_that_are_cut_together_end_in_a_turn(site: Site, noted: Noted) -> None:
    """Thousands are cut at once where a proxy ends: one that stays need not wait for them all."""
    noted.notes_ends = True
    with ExitStack() as stack:
        many = range(3 * ENDS_AT_ONCE)
        cut = [stack.enter_context(upgrade(site, "/noted")) for _ in many]
        noted.expect(len(cut))
        with held_up(site):
            for client in cut:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()

    assert most_in_a_turn(noted) <= ENDS_AT_ONCE
    assert {code for _, code in noted.seen} == {1006}
    assert noted.gone  # those that wait for a turn, to which nothing is written meanwhile
    assert {write(b"") for write in noted.gone} == {None}


def test_sockets_that_are_full_of_messages_share_each_turn(
    site: Site, noted: Noted, sockets: list[socket.socket]
) -> None:
    """One is ahead of the others by no more than what it read before anybody waited."""
    noted.expect(len(sockets) * MESSAGES)
    with held_up(site):
        for number, client in enumerate(sockets):
            client.sendall(MESSAGES * frame(Opcode.TEXT, b"%d" % number))

    assert noted.is_complete.wait(10)
    half = Counter(text for _, text in noted.seen[: len(noted.seen) // 2])
    assert len(half) == CLIENTS
    assert max(half.values()) - min(half.values()) <= MESSAGES_A_TURN


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(MESSAGES * frame(Opcode.TEXT, b"x"), id="messages"),
        pytest.param(
            frame(Opcode.TEXT, b"x", fin=False)
            + (MESSAGES - 1) * frame(Opcode.CONT, b"x", fin=False),
            id="fragments",
        ),
    ],
)
def test_little_of_what_refused_sockets_send_is_parsed_in_a_turn(
    site: Site,
    noted: Noted,
    sockets: list[socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    sent: bytes,
) -> None:
    """It is discarded, but has to be parsed: the answer to our close may be next."""
    read, turns = FrameReader.read, Counter[int]()

    def counted(reader: FrameReader) -> object:
        turns[noted.turn] += 1
        return read(reader)

    answer = frame(Opcode.CLOSE, (1008).to_bytes(2))
    with ExitStack() as stack:
        refused = [stack.enter_context(upgrade(site, "/refuse")) for _ in range(CLIENTS)]
        monkeypatch.setattr(FrameReader, "read", counted)
        noted.expect(1)
        with held_up(site):
            for client in refused:
                client.sendall(sent + answer)
        told = [read_all(client) for client in refused]
        sockets[0].sendall(frame(Opcode.TEXT, b"over"))
        assert noted.is_complete.wait(5)

    assert told == [close_frame(1008, "credentials_invalid")] * CLIENTS
    assert max(turns.values()) <= MESSAGES_A_TURN + 2 * CLIENTS


def test_no_message_waits_for_what_refused_sockets_send(
    site: Site, noted: Noted, sockets: list[socket.socket]
) -> None:
    """Three hundred of them that sent all the time kept messages waiting for 0.2 s."""
    neighbour = sockets[0]
    with ExitStack() as stack:
        ended = [stack.enter_context(upgrade(site, "/noted")) for _ in range(3 * CLIENTS)]
        for client in ended:
            client.sendall(b"\xff\x00")  # no frame: it is closed, and what follows is discarded
            read_until(client, close_frame(1002, ""))
        noted.expect(MESSAGES_A_RUN)
        with held_up(site):
            for client in ended:
                client.sendall(b"more")
            neighbour.sendall(MESSAGES_A_RUN * frame(Opcode.TEXT, b"neighbour"))
        assert noted.is_complete.wait(10)

    assert noted.seen[-1][0] <= noted.seen[0][0] + 1


def read_answers(client: socket.socket, expected: int) -> int:
    """Read so many answers without a body; return how many there were."""
    received = b""
    while received.count(END) < expected:
        data = client.recv(1 << 16)
        if not data:
            break
        received += data
    return received.count(b"HTTP/1.1 204 ")
