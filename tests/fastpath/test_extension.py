"""What `docs/asgi-extension.md` promises an application that detaches its socket."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.client import connect

from itemwire.fastpath.extension import VERSION
from tests.conformance.websocket_targets import wait_until
from tests.fastpath import served
from tests.fastpath.handing import Handing
from tests.fastpath.served import Site, close_frame, frame, read_all, serving
from tests.scenarios.clients import PATIENCE

pytestmark = pytest.mark.server


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
        echoed = [client.recv(timeout=PATIENCE), client.recv(timeout=PATIENCE)]
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
        assert application.errors.get(timeout=60) is None
        client.send("still served")
        assert client.recv(timeout=PATIENCE) == "still served"

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
        echoed = [client.recv(timeout=PATIENCE) for _ in range(200)]

    assert heard == echoed == [str(number) for number in range(200)]


def test_opens_and_closes_a_receiver_whose_peer_has_gone(site: Site, application: Handing) -> None:
    """Every `opened` has its `closed`, so that counters add up."""
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
            client.recv(timeout=PATIENCE)

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
            client.recv(timeout=PATIENCE)
        other.send("well")
        assert other.recv(timeout=PATIENCE) == "well"

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
    """Before the close frame, so that it can tell the client what to do next."""
    with connect(site.url("/detach")) as client:
        receiver = application.receiver()
        site.server.should_exit = True
        assert client.recv(timeout=PATIENCE) == "last words"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=PATIENCE)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert receiver.next() == ("ending", (1012, "draining"))
    assert receiver.next() == ("closed", 1012)


def test_asks_for_last_words_where_no_ping_is_answered(application: Handing) -> None:
    """The client may still read, and should learn whether to reconnect."""
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
    """In the first case it could send them itself, in the second it is not reliable."""
    kinds: list[str] = []
    for word in ("close", "fail"):
        with connect(site.url("/detach")) as client:
            receiver = application.receiver()
            client.send(word)
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=PATIENCE)
        kinds += [receiver.next()[0], receiver.next()[0]]

    assert kinds == ["received", "closed"] * 2
