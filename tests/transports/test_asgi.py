"""Runs sessions over a hand-made ASGI socket: order, slow peers, and an end in bounded time."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from starlette.types import Message
from typing_extensions import override

from itemwire.close_reasons import INTERNAL, SLOW_CONSUMER, TOKEN_EXPIRED, CloseReason
from itemwire.messages import Frame, Pong
from itemwire.transports import asgi as driver
from tests.asgi import NotedEcho, Server, served
from tests.fakes import LIMITS


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time for a close be up soon."""
    monkeypatch.setattr(driver, "CLOSE_SECONDS", 0.05)


def stuck() -> Server:
    """Make a server whose peer does not read."""
    server = Server()
    server.reads.clear()
    return server


def test_passes_every_frame_on_as_it_is_and_in_order() -> None:
    """Text stays text, binary stays binary, an empty frame is a frame."""
    frames: list[Frame] = ["one", b"two", "", b"", *map(str, range(100))]

    async def scene() -> list[Frame | int]:
        async with served(*frames) as socket:
            socket.server.leaves(1000)
            await socket.until_over()
            assert socket.session.heard == frames
            return socket.server.frames

    assert asyncio.run(scene()) == frames


def test_takes_a_message_in_either_form_that_asgi_allows() -> None:
    """A server may name both keys, one of them None."""

    async def scene() -> list[Frame]:
        async with served() as socket:
            for text, binary in (("text", None), (None, b"binary"), ("", None)):
                socket.server.says({"type": "websocket.receive", "text": text, "bytes": binary})
            socket.server.leaves(1000)
            await socket.until_over()
            return socket.session.heard

    assert asyncio.run(scene()) == ["text", b"binary", ""]


def test_hears_a_peer_that_does_not_read() -> None:
    """A client that is slow to read may still say that it leaves."""

    async def scene() -> tuple[list[Frame], list[Frame | int]]:
        async with served("one", "two", "last", server=stuck()) as socket:
            await socket.until_heard()
            return socket.session.heard, socket.server.frames

    assert asyncio.run(scene()) == (["one", "two", "last"], [])


def test_goes_on_where_it_was_when_the_peer_reads_again() -> None:
    """Slow is not stuck: within the limit nothing is lost."""

    async def scene() -> list[Frame | int]:
        async with served("one", "two", "last", server=stuck()) as socket:
            await socket.until_heard()
            socket.server.reads.set()
            socket.session.connection.end(INTERNAL)
            await socket.until_over()
            return socket.server.frames[:3]

    assert asyncio.run(scene()) == ["one", "two", "last"]


def test_lets_writers_go_in_a_burst() -> None:
    """Many messages at hand must not fill the outbox of a peer that reads well."""
    frames = [f"{number:01000}" for number in range(10 * LIMITS.outbox_bytes // 1000)]

    async def scene() -> list[Frame | int]:
        async with served(*frames) as socket:
            socket.server.leaves(1000)
            await socket.until_over()
            return socket.server.frames

    assert asyncio.run(scene()) == frames


def test_sends_what_waits_before_a_close_with_flush() -> None:
    """The twin of the cut: the client did nothing wrong."""

    async def scene() -> list[Frame | int]:
        async with served("one", "two", "last", server=stuck()) as socket:
            await socket.until_heard()
            socket.session.connection.end(INTERNAL)
            socket.server.reads.set()
            await socket.until_over()
            return socket.server.frames

    *frames, closing, code = asyncio.run(scene())
    assert frames == ["one", "two", "last"]
    assert decoded(closing)["reason"] == "internal"
    assert code == 1011


def test_sends_what_waits_also_when_the_end_comes_at_once() -> None:
    """A join that fails while it opens, or a first frame that is too big, is told like others."""

    def end(session: NotedEcho) -> None:
        session.connection.send(Pong("first"))
        session.connection.send(Pong("second"))
        session.connection.end(INTERNAL)

    async def scene() -> list[Frame | int]:
        async with served(opened=end) as socket:
            await socket.until_over()
            return socket.server.frames

    *frames, code = asyncio.run(scene())
    assert code == 1011
    assert [decoded(frame)["type"] for frame in frames] == ["pong", "pong", "closing"]


@pytest.mark.parametrize("row", [INTERNAL, TOKEN_EXPIRED], ids=lambda row: row.reason)
def test_tells_an_idle_peer_why_before_the_close(row: CloseReason) -> None:
    """The retry verdict is in the envelope: nothing stands in its way here."""

    async def scene() -> list[Frame | int]:
        async with served("last") as socket:
            await socket.until_heard()
            await asyncio.sleep(0)  # the writer's turn
            socket.session.connection.end(row)
            await socket.until_over()
            return socket.server.frames

    *frames, code = asyncio.run(scene())
    assert code == row.code
    assert [decoded(frame)["reason"] for frame in frames[1:]] == [row.reason]


def test_cuts_a_blocked_send_for_a_close_without_flush() -> None:
    """What a stuck peer did not read must not keep the close from it."""

    async def scene() -> list[Frame | int]:
        async with served("one", "two", "last", server=stuck()) as socket:
            await socket.until_heard()
            socket.session.connection.end(SLOW_CONSUMER)
            await socket.until_over()
            return socket.server.frames

    assert asyncio.run(scene()) == [1008]


@pytest.mark.usefixtures("short_deadline")
@pytest.mark.parametrize("row", [INTERNAL, SLOW_CONSUMER], ids=lambda row: row.reason)
@pytest.mark.parametrize("overtakes", [True, False], ids=["close-overtakes", "close-waits"])
@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads-nothing"])
def test_ends_a_peer_that_never_answers(row: CloseReason, overtakes: bool, reads: bool) -> None:
    """Ten seconds for the close (requirement 95), whatever the server can do.

    Its answer is the server's to wait for; one that cannot even be sent is 1006.
    """
    is_sent = reads or (overtakes and row is SLOW_CONSUMER)

    async def scene() -> tuple[list[int], int]:
        server = Server() if reads else stuck()
        server.answers_close, server.close_overtakes = False, overtakes
        async with served("one", "last", server=server) as socket:
            await socket.until_heard()
            socket.session.connection.end(row)
            await socket.until_over()
            return socket.session.closed_with, len(asyncio.all_tasks())

    assert asyncio.run(scene()) == ([row.code if is_sent else 1006], 1)


@pytest.mark.usefixtures("short_deadline")
@pytest.mark.parametrize("row", [INTERNAL, SLOW_CONSUMER], ids=lambda row: row.reason)
def test_leaves_no_task_when_a_stuck_peer_goes_in_the_middle_of_a_close(row: CloseReason) -> None:
    """The send that waited for it has nobody to wait for any longer."""

    async def scene() -> tuple[list[int], int]:
        server = stuck()
        server.answers_close = server.close_overtakes = False
        async with served("one", "last", server=server) as socket:
            await socket.until_heard()
            socket.session.connection.end(row)
            server.leaves(1001)
            await socket.until_over()
            return socket.session.closed_with, len(asyncio.all_tasks())

    assert asyncio.run(scene()) == ([1001], 1)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param({"code": 1000}, 1000, id="normal"),
        pytest.param({"code": 4321, "reason": "bye"}, 4321, id="of-the-application"),
        pytest.param({"code": None}, 1005, id="none"),
        pytest.param({}, 1005, id="absent"),
    ],
)
def test_tells_the_session_once_with_which_code_the_peer_left(
    message: dict[str, object], code: int
) -> None:
    """1005 stands for a close frame without a code (RFC 6455 section 7.1.5)."""

    async def scene() -> tuple[list[int], bool]:
        async with served() as socket:
            socket.server.says({"type": "websocket.disconnect", **message})
            await socket.until_over()
            return socket.session.closed_with, socket.session.connection.is_open

    assert asyncio.run(scene()) == ([code], False)


def test_raises_what_the_servers_send_failed_of() -> None:
    """A socket that cannot be written to is not read from either; the serving task is told."""

    class Broken(Server):
        @override
        async def send(self, message: Message) -> None:
            if message["type"] == "websocket.send":
                raise ZeroDivisionError("a fault of the server")
            await super().send(message)

    async def scene() -> list[int]:
        async with served("last", server=Broken()) as socket:
            await socket.until_heard()
            with pytest.raises(ZeroDivisionError):
                await socket.until_over()
            socket.driving = asyncio.create_task(asyncio.sleep(0))
            return socket.session.closed_with

    assert asyncio.run(scene()) == [1006]


def test_may_be_closed_while_its_time_is_running_out(short_deadline: None) -> None:
    """A tick or a fan-out may end it just then; it must not fail in somebody else's call."""

    async def scene() -> list[int]:
        server = stuck()
        server.answers_close = server.close_overtakes = False
        async with served("one", "last", server=server) as socket:
            await socket.until_heard()
            socket.session.connection.end(INTERNAL)
            await socket.until_over()
            socket.transport.close(1008, "token_expired")
            return socket.session.closed_with

    assert asyncio.run(scene()) == [1006]


def test_leaves_nothing_of_a_session_that_fails_to_begin() -> None:
    """It may have joined half of a channel by then."""

    class Failing(NotedEcho):
        @override
        def opened(self) -> None:
            raise ZeroDivisionError

    async def scene() -> tuple[list[int], bool]:
        async with served(kind=Failing) as socket:
            with pytest.raises(ZeroDivisionError):
                await socket.until_over()
            socket.driving = asyncio.create_task(asyncio.sleep(0))
            return socket.session.closed_with, socket.session.connection.is_open

    assert asyncio.run(scene()) == ([1006], False)


def test_tells_the_session_once_when_it_closed_itself() -> None:
    """The answer to its own close is the end of the socket."""

    async def scene() -> list[int]:
        async with served("last") as socket:
            await socket.until_heard()
            socket.session.connection.end(INTERNAL)
            await socket.until_over()
            return socket.session.closed_with

    assert asyncio.run(scene()) == [1011]


def test_tells_the_session_once_when_the_server_cancels_it() -> None:
    """A server that stops cancels its tasks, and presence must still converge."""

    async def scene() -> tuple[list[int], int]:
        async with served("last") as socket:
            await socket.until_heard()
            socket.driving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await socket.until_over()
            return socket.session.closed_with, len(asyncio.all_tasks())

    assert asyncio.run(scene()) == ([1006], 1)


def test_ends_when_the_socket_breaks_under_a_send() -> None:
    """Sending to a peer that is gone is no error of ours; `receive` tells of it as well."""

    class Broken(Server):
        @override
        async def send(self, message: Message) -> None:
            if message["type"] == "websocket.send":
                self.leaves(1006)
                raise BrokenPipeError
            await super().send(message)

    async def scene() -> tuple[list[int], int]:
        async with served("one", server=Broken()) as socket:
            await socket.until_over()
            return socket.session.closed_with, len(asyncio.all_tasks())

    assert asyncio.run(scene()) == ([1006], 1)


def test_lets_a_fault_at_opening_out() -> None:
    """Anyone who maps exceptions to closes is around the driver, not in it."""

    def fail(_: NotedEcho) -> None:
        raise ZeroDivisionError

    async def scene() -> int:
        async with served(opened=fail) as socket:
            with pytest.raises(ZeroDivisionError):
                await socket.until_over()
            socket.driving = asyncio.create_task(asyncio.sleep(0))
            return len(asyncio.all_tasks())

    assert asyncio.run(scene()) == 2


def decoded(frame: object) -> dict[str, Any]:
    """Read an envelope."""
    assert isinstance(frame, str)
    envelope: dict[str, Any] = msgspec.json.decode(frame)
    return envelope
