"""What `docs/asgi-extension.md` promises an application that hands its socket over."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from typing_extensions import override
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import connect

from api.fastpath.extension import EXTENSION, VERSION, Receiver, Socket
from api.messages import Frame
from tests.conformance.websocket_targets import wait_until
from tests.fastpath import served
from tests.fastpath.served import Receive, Send, Site, close_frame, frame, read_all, serving

Detach = Callable[[Callable[[Socket], Receiver]], None]
Application = Callable[[Detach, Receive, Send], Awaitable[None]]


@dataclass(slots=True)
class Noting(Receiver):
    """A receiver that notes what it is called with, and echoes."""

    socket: Socket
    calls: queue.Queue[tuple[str, object]] = field(default_factory=queue.Queue)
    pings: int = 0

    @override
    def opened(self) -> None:
        """Note it."""
        self.calls.put(("opened", None))

    @override
    def received(self, frame: Frame) -> None:
        """Note it, and do what it says."""
        self.calls.put(("received", frame))
        if frame == "fail":
            raise ZeroDivisionError("a fault of the receiver")
        if frame == "close":
            self.socket.close(4000, "as you wish")
        else:
            self.socket.write(self.socket.framing.render(frame))

    @override
    def pinged(self, size: int) -> bool:
        """Note it; the third is too much."""
        self.pings += 1
        self.calls.put(("pinged", size))
        return self.pings == 3

    @override
    def paused(self) -> None:
        """Note it."""
        self.calls.put(("paused", self.socket.unsent()))

    @override
    def writable(self) -> None:
        """Note it."""
        self.calls.put(("writable", None))

    @override
    def ending(self, code: int, reason: str) -> None:
        """Note it, and say something."""
        self.calls.put(("ending", (code, reason)))
        self.socket.write(self.socket.framing.render("last words"))

    @override
    def closed(self, code: int) -> None:
        """Note it."""
        self.calls.put(("closed", code))

    def next(self) -> tuple[str, object]:
        """Give the next call, once it has come."""
        return self.calls.get(timeout=5)


class Handing:
    """An application that accepts, hands over, and does what a test wants of it besides."""

    def __init__(self) -> None:
        self.receivers: queue.Queue[Noting] = queue.Queue()
        self.errors: queue.Queue[BaseException | None] = queue.Queue()
        self.tasks_left: queue.Queue[int] = queue.Queue()
        self.hold = threading.Event()
        self.hold.set()
        self.extension: dict[str, Any] = {}
        self.script: Application = self.hand_over

    async def __call__(
        self, _site: Site, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Be the application."""
        self.extension = scope["extensions"][EXTENSION]
        try:
            await self.script(self.extension["detach"], receive, send)
        except BaseException as error:
            self.errors.put(error)
            raise
        self.errors.put(None)

    async def hand_over(self, detach: Detach, receive: Receive, send: Send) -> None:
        """Accept, hand over, return."""
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.to_thread(self.hold.wait, 5)
        detach(self.open)

    def open(self, socket: Socket) -> Noting:
        """Make a receiver."""
        receiver = Noting(socket)
        self.receivers.put(receiver)
        return receiver

    def receiver(self) -> Noting:
        """Give the receiver of the next socket, opened."""
        receiver = self.receivers.get(timeout=5)
        assert receiver.next() == ("opened", None)
        return receiver


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Handing:
    """Put the application at `/detach`."""
    application = Handing()
    monkeypatch.setitem(served.ROUTES, "/detach", application)
    return application


@pytest.fixture
def site(application: Handing) -> Iterator[Site]:
    """Run it."""
    with serving() as site:
        yield site


def test_is_offered_with_its_version(site: Site, application: Handing) -> None:
    """An application must know what it is dealing with."""
    with connect(site.url("/detach")):
        application.receiver()

    assert application.extension["version"] == VERSION == 1


def test_calls_the_receiver_with_each_message_and_the_end(site: Site, application: Handing) -> None:
    """Whole messages, text as text, and the code of the peer's close."""
    with connect(site.url("/detach")) as client:
        receiver = application.receiver()
        client.send(["frag", "mented"])
        client.send(b"binary")
        echoed = [client.recv(timeout=5), client.recv(timeout=5)]
        client.close(4321)

    assert echoed == ["fragmented", b"binary"]
    assert [receiver.next() for _ in range(3)] == [
        ("received", "fragmented"),
        ("received", b"binary"),
        ("closed", 4321),
    ]


def test_leaves_no_task_and_no_exchange_behind(site: Site, application: Handing) -> None:
    """That is what the extension is for."""
    with connect(site.url("/detach")) as client:
        receiver = application.receiver()
        assert application.errors.get(timeout=5) is None
        client.send("still served")
        assert client.recv(timeout=5) == "still served"

        # The task has ended by then, and the loop has yet to tell the server so.
        wait_until(lambda: not site.server.server_state.tasks)
        assert receiver.socket._exchange is None  # type: ignore[attr-defined] # the class's own


def test_gives_what_came_before_the_hand_over_first(site: Site, application: Handing) -> None:
    """A client need not wait, and an application may take its time."""
    application.hold.clear()
    with connect(site.url("/detach")) as client:
        for number in range(200):
            client.send(str(number))
        application.hold.set()
        receiver = application.receiver()
        heard = [receiver.next()[1] for _ in range(200)]
        echoed = [client.recv(timeout=5) for _ in range(200)]

    assert heard == echoed == [str(number) for number in range(200)]


def test_opens_and_closes_a_receiver_whose_peer_has_gone(site: Site, application: Handing) -> None:
    """Whatever a receiver counts must come out even."""
    application.hold.clear()
    with served.upgrade(site, "/detach") as client:
        client.sendall(frame(Opcode.TEXT, b"last words") + frame(Opcode.CLOSE, b"\x03\xe9"))
        assert read_all(client).endswith(close_frame(1001))
    application.hold.set()
    receiver = application.receiver()

    assert receiver.next() == ("received", "last words")
    assert receiver.next() == ("closed", 1001)


def test_closes_as_the_receiver_says(site: Site, application: Handing) -> None:
    """And tells it when the peer has answered."""
    with connect(site.url("/detach")) as client:
        receiver = application.receiver()
        client.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you wish")
    assert receiver.next() == ("received", "close")
    assert receiver.next() == ("closed", 4000)


def test_ends_one_socket_for_a_fault_of_its_receiver(
    site: Site, application: Handing, caplog: pytest.LogCaptureFixture
) -> None:
    """1011, the log says why, and nobody else notices (requirement 106)."""
    with connect(site.url("/detach")) as other, connect(site.url("/detach")) as client:
        application.receiver()
        receiver = application.receiver()
        client.send("fail")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
        other.send("well")
        assert other.recv(timeout=5) == "well"

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "internal")
    assert [receiver.next(), receiver.next()] == [("received", "fail"), ("closed", 1011)]
    assert "a fault of the receiver" in caplog.text


def test_a_ping_that_is_too_much_is_not_answered(site: Site, application: Handing) -> None:
    """The receiver counts them; those before and behind it are answered (requirement 92)."""
    with served.upgrade(site, "/detach") as client:
        receiver = application.receiver()
        for payload in (b"1", b"22", b"333", b"4444"):
            client.sendall(frame(Opcode.PING, payload))
        pongs = served.read_until(client, b"\x8a\x044444")

    assert pongs == b"\x8a\x011\x8a\x0222\x8a\x044444"
    assert [receiver.next() for _ in range(4)] == [("pinged", size) for size in (1, 2, 3, 4)]


def test_a_pong_that_nobody_asked_for_counts_as_a_ping(site: Site, application: Handing) -> None:
    """It may be sent (RFC 6455 section 5.5.3), and costs as much to read."""
    with served.upgrade(site, "/detach") as client:
        receiver = application.receiver()
        client.sendall(frame(Opcode.PONG, b"alive"))

        assert receiver.next() == ("pinged", 5)


def test_says_when_it_has_enough_and_when_no_longer(site: Site, application: Handing) -> None:
    """`paused` in the middle of a write, `writable` after."""
    payload = b"x" * 60_000
    with served.upgrade(site, "/detach") as client:
        receiver = application.receiver()
        sent = 0
        while ("paused", 0) not in [(kind, 0) for kind, _ in list(receiver.calls.queue)]:
            client.sendall(frame(Opcode.BINARY, payload))
            sent += len(payload)
        heard = 0
        while heard < sent:
            heard += len(client.recv(1 << 20))
        kinds = [receiver.next()[0]]
        while kinds[-1] != "writable":
            kinds.append(receiver.next()[0])

    assert "paused" in kinds


def test_tells_the_receiver_that_the_server_stops(site: Site, application: Handing) -> None:
    """Ahead of the close, which has the same code, so that it can say what to do next."""
    with connect(site.url("/detach")) as client:
        receiver = application.receiver()
        site.server.should_exit = True
        assert client.recv(timeout=5) == "last words"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert receiver.next() == ("ending", (1012, "draining"))
    assert receiver.next() == ("closed", 1012)


def test_asks_for_last_words_where_no_ping_is_answered(application: Handing) -> None:
    """The client reads, or seems to; it may at least learn whether to come back."""
    with (
        serving(ws_ping_interval=0.1, ws_ping_timeout=0.1) as site,
        served.upgrade(site, "/detach") as client,
    ):
        receiver = application.receiver()
        received = served.read_all(client)

    assert received.endswith(b"\x81\x0alast words" + served.close_frame(1011, "ping_timeout"))
    assert receiver.next() == ("ending", (1011, "ping_timeout"))
    assert receiver.next() == ("closed", 1011)


def test_asks_for_no_last_words_where_the_receiver_closes_or_fails(
    site: Site, application: Handing
) -> None:
    """It has said them, or cannot be relied on to."""
    kinds: list[str] = []
    for word in ("close", "fail"):
        with connect(site.url("/detach")) as client:
            receiver = application.receiver()
            client.send(word)
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=5)
        kinds += [receiver.next()[0], receiver.next()[0]]

    assert kinds == ["received", "closed"] * 2


async def before_accepting(detach: Detach, receive: Receive, _send: Send) -> None:
    """Hand over what is not open yet."""
    await receive()
    detach(Noting)


async def after_closing(detach: Detach, receive: Receive, send: Send) -> None:
    """Hand over what is open no longer."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1000})
    detach(Noting)


async def twice(detach: Detach, receive: Receive, send: Send) -> None:
    """Hand one socket to two."""
    await receive()
    await send({"type": "websocket.accept"})
    detach(Noting)
    detach(Noting)


async def and_send(detach: Detach, receive: Receive, send: Send) -> None:
    """Hand over, and go on sending."""
    await receive()
    await send({"type": "websocket.accept"})
    detach(Noting)
    await send({"type": "websocket.send", "text": "mine"})


@pytest.mark.parametrize("script", [before_accepting, after_closing, twice, and_send])
def test_tells_an_application_that_it_errs(
    site: Site, application: Handing, script: Application
) -> None:
    """A socket has one owner at a time, and has to be open to change it."""
    application.script = script
    with served.dial(site, served.head("/detach")) as client:
        client.recv(1 << 16)
        error = application.errors.get(timeout=5)

    assert isinstance(error, RuntimeError)


@pytest.mark.parametrize("place", ["making", "opening"])
def test_leaves_the_socket_to_an_application_whose_receiver_fails_to_begin(
    site: Site, application: Handing, place: str
) -> None:
    """So it can still say why, as Itemwire does with 1011."""
    receivers: list[Noting] = []

    def fail() -> None:
        raise ZeroDivisionError

    def make(socket: Socket) -> Noting:
        class Failing(Noting):
            @override
            def opened(self) -> None:
                fail()

        if place == "making":
            fail()
        receivers.append(Failing(socket))
        return receivers[0]

    async def script(detach: Detach, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with pytest.raises(ZeroDivisionError):
            detach(make)
        await send({"type": "websocket.close", "code": 1011, "reason": "internal"})

    application.script = script
    with connect(site.url("/detach")) as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=5)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert [receiver.next() for receiver in receivers] == [("closed", 1006)] * len(receivers)


def test_keeps_a_socket_whose_application_fails_after_the_hand_over(
    site: Site, application: Handing, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the receiver's by then; the fault is logged."""

    async def script(detach: Detach, receive: Receive, send: Send) -> None:
        await application.hand_over(detach, receive, send)
        raise ZeroDivisionError("after the hand-over")

    application.script = script
    with connect(site.url("/detach")) as client:
        application.receiver()
        assert isinstance(application.errors.get(timeout=5), ZeroDivisionError)
        client.send("still here")
        assert client.recv(timeout=5) == "still here"

    assert "after the hand-over" in caplog.text
