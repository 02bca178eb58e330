"""A stream over a hand-made ASGI request: heartbeat, slow clients, and every way to end."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.types import Message

from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.delivery.recovery import LIVE
from itemwire.channels.sessions.events import EventsSession
from itemwire.close_reasons import OVERLOADED, SLOW_CONSUMER
from itemwire.fastpath.extension import STREAM_EXTENSION
from itemwire.transports import asgi as driver
from itemwire.transports.asgi import Frames
from itemwire.transports.sse import EVENTS, EventStream
from itemwire.transports.sse_shutdown import OpenStreams
from itemwire.wire.events_codec import EventsCodec
from itemwire_auth.principal import Grant
from tests.fakes import EVERYTHING, ITEM, Stage, principal

WAIT_SECONDS = 5.0
NEVER = 1000.0


class Client:
    """The peer of a stream, who reads as long as it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.sent: list[Message] = []
        self.came = asyncio.Event()
        self.aborted = 0
        self.end: Callable[[], None] | None = None
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def receive(self) -> Message:
        """Give the application the next message."""
        return await self._incoming.get()

    async def send(self, message: Message) -> None:
        """Take a message, as uvicorn does: what is on its way is written ahead of the wait."""
        self.sent.append(message)
        self.came.set()
        await self.reads.wait()

    def leaves(self) -> None:
        """Be gone."""
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def hears(self, what: bytes) -> None:
        """Wait until something was sent."""
        async with asyncio.timeout(WAIT_SECONDS):
            while what not in self.body:
                self.came.clear()
                await self.came.wait()

    @property
    def body(self) -> bytes:
        """Give all that was sent behind the head."""
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_unheeded(self) -> bool:
        """Tell whether nothing is to be called any more when the server stops."""
        return self.end is None

    @property
    def is_complete(self) -> bool:
        """Tell whether the end was sent."""
        return self.sent[-1].get("more_body") is False

    def _abort(self) -> None:
        self.aborted += 1

    def _on_shutdown(self, end: Callable[[], None] | None) -> None:
        self.end = end

    @property
    def scope(self) -> dict[str, Any]:
        """Give the scope of its request, on a server with the extension."""
        stream = {"on_shutdown": self._on_shutdown, "abort": self._abort}
        return {"type": "http", "extensions": {STREAM_EXTENSION: stream}}


class Streamed:
    """A stream that runs."""

    def __init__(self, client: Client, stage: Stage, heartbeat: float) -> None:
        self.client = client
        self.stage = stage
        self.codec = EventsCodec()
        self.session: EventsSession
        stream = EventStream(self._open, heartbeat, OpenStreams())
        self.task = asyncio.create_task(stream(client.scope, client.receive, client.send))

    def _open(self, transport: Transport) -> EventsSession:
        connection = self.stage.node.connect(principal(), self.codec, transport)
        grant = Grant(connection.principal, ITEM, EVERYTHING)
        self.session = EventsSession(self.stage.node, connection, grant, LIVE)
        return self.session

    def publish(self, text: str) -> None:
        """Let somebody publish, and the tick end."""
        self.stage.node.publish(principal("bob"), ITEM, text, None, lambda _: None)
        self.stage.settle()

    async def is_over(self) -> None:
        """Wait until the stream has ended."""
        await asyncio.wait_for(asyncio.wait([self.task]), WAIT_SECONDS)


@contextlib.asynccontextmanager
async def streamed(heartbeat: float = NEVER) -> AsyncIterator[Streamed]:
    """Run a stream whose client has been welcomed, and let nothing outlive it."""
    stream = Streamed(Client(), Stage(), heartbeat)
    await stream.client.hears(b"event: welcome")
    try:
        yield stream
    finally:
        stream.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stream.task


def test_sends_events_until_the_client_goes() -> None:
    """Then nobody of the item hears of it any more, and the server is let go."""

    async def scene() -> None:
        async with streamed() as stream:
            stream.publish("hello")
            await stream.client.hears(b'"data":"hello"')
            assert stream.client.end is not None
            stream.client.leaves()
            await stream.is_over()

            assert stream.task.exception() is None
            assert not stream.session.connection.is_open
            assert stream.stage.known_members(ITEM).members == []
            assert stream.client.is_unheeded
            assert stream.client.aborted == 0

    asyncio.run(scene())


def test_ends_when_the_server_stops() -> None:
    """With the last word of a socket, and the end of the body."""

    async def scene() -> None:
        async with streamed() as stream:
            assert stream.client.end is not None
            stream.client.end()
            await stream.is_over()

            assert b'"reason":"draining"' in stream.client.body
            assert stream.client.is_complete
            assert stream.client.aborted == 0

    asyncio.run(scene())


def test_an_end_with_a_verdict_says_when_to_come_back() -> None:
    """A browser follows `retry`, whatever the page does."""

    async def scene() -> None:
        async with streamed() as stream:
            stream.session.connection.end(OVERLOADED)
            await stream.is_over()

            assert re.search(rb"event: closing\nretry: [1-9]\d{3}\n", stream.client.body)

    asyncio.run(scene())


def test_a_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is bounded, and its end does not wait for it either."""
    monkeypatch.setattr(driver, "CLOSE_SECONDS", 0.05)

    async def scene() -> None:
        async with streamed() as stream:
            stream.client.reads.clear()
            connection = stream.session.connection
            ends: list[str] = []
            for number in range(200):
                stream.publish(f"{number} {'x' * 1000}")
                await asyncio.sleep(0)
                if not connection.is_open:
                    ends.append(f"after {number}")
                    break
            await stream.is_over()

            assert ends
            assert stream.task.exception() is None
            assert stream.client.aborted == 1
            assert len(stream.client.body) < 10_000

    asyncio.run(scene())


def test_nothing_waits_for_one_that_may_hear_no_more() -> None:
    """What it had no time to read is not sent once it has ended for a slow reader's reason."""

    async def scene() -> None:
        async with streamed() as stream:
            stream.client.reads.clear()
            stream.publish("first")
            await stream.client.hears(b"first")
            stream.publish("second")
            stream.session.connection.end(SLOW_CONSUMER)
            stream.client.reads.set()
            await stream.is_over()

            assert b"second" not in stream.client.body
            assert stream.client.is_complete

    asyncio.run(scene())


def test_beats_while_there_is_nothing_to_say() -> None:
    """A proxy ends what is silent; a client that has not read yet needs no more of it."""

    async def scene() -> None:
        async with streamed(heartbeat=0.005) as stream:
            await stream.client.hears(b"\n\n:\n:\n")
            stream.client.reads.clear()
            stream.publish("unread")
            await stream.client.hears(b"unread")
            before = len(stream.client.sent)
            for _ in range(5):
                await asyncio.sleep(0.005)  # as long as a beat: there must be none
            assert len(stream.client.sent) == before

    asyncio.run(scene())


def test_a_server_that_cuts_it_off_leaves_nothing_behind() -> None:
    """So do those whose patience at the shutdown is over."""

    async def scene() -> None:
        async with streamed() as stream:
            stream.task.cancel()
            await stream.is_over()

            assert stream.task.cancelled()
            assert not stream.session.connection.is_open

    asyncio.run(scene())


def test_a_chunk_is_one_piece_of_the_body() -> None:
    """However many events it has."""
    chunks = [EVENTS.render(b"a\n\n"), EVENTS.render("é\n\n")]
    joined = EVENTS.join(chunks)

    assert isinstance(joined, Frames)
    assert (joined.frames, len(joined)) == (("a\n\né\n\n".encode(),), 7)
    assert EVENTS.join(chunks[:1]) is chunks[0]
