"""Sockets whose application makes a mistake when it detaches them."""

from __future__ import annotations

import pytest
from typing_extensions import override
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from itemwire.fastpath.extension import Socket
from tests.fastpath import served
from tests.fastpath.handing import Application, Detach, Handing, Noting
from tests.fastpath.served import Receive, Send, Site
from tests.scenarios.clients import PATIENCE

pytestmark = pytest.mark.server


async def before_accepting(detach: Detach, receive: Receive, _send: Send) -> None:
    """Detach a socket that is not open yet."""
    await receive()
    detach(Noting)


async def after_closing(detach: Detach, receive: Receive, send: Send) -> None:
    """Detach a socket that is closed."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1000})
    detach(Noting)


async def twice(detach: Detach, receive: Receive, send: Send) -> None:
    """Detach a socket twice."""
    await receive()
    await send({"type": "websocket.accept"})
    detach(Noting)
    detach(Noting)


async def and_send(detach: Detach, receive: Receive, send: Send) -> None:
    """Detach a socket, then send on it."""
    await receive()
    await send({"type": "websocket.accept"})
    detach(Noting)
    await send({"type": "websocket.send", "text": "mine"})


@pytest.mark.parametrize("script", [before_accepting, after_closing, twice, and_send])
def test_tells_an_application_that_it_errs(
    site: Site, application: Handing, script: Application
) -> None:
    """A socket has one owner at a time, and only an open socket can change it."""
    application.script = script
    with served.dial(site, served.head("/detach")) as client:
        client.recv(1 << 16)
        error = application.errors.get(timeout=60)

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
        client.recv(timeout=PATIENCE)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert [receiver.next() for receiver in receivers] == [("closed", 1006)] * len(receivers)


def test_keeps_a_socket_whose_application_fails_after_the_hand_over(
    site: Site, application: Handing, caplog: pytest.LogCaptureFixture
) -> None:
    """The socket belongs to the receiver by then; the exception is logged."""

    async def script(detach: Detach, receive: Receive, send: Send) -> None:
        await application.hand_over(detach, receive, send)
        raise ZeroDivisionError("after the hand-over")

    application.script = script
    with connect(site.url("/detach")) as client:
        application.receiver()
        assert isinstance(application.errors.get(timeout=60), ZeroDivisionError)
        client.send("still here")
        assert client.recv(timeout=PATIENCE) == "still here"

    assert "after the hand-over" in caplog.text
