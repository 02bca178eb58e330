"""A stream of events: where it begins, and what is written to it."""

from __future__ import annotations

import pytest

from itemwire.channels.delivery.recovery import LIVE, StartPoint
from itemwire.channels.sessions.events import EventsSession
from itemwire.close_reasons import OVERLOADED
from itemwire.messages import Position
from itemwire.wire.events_codec import EventCodecs, EventsCodec
from itemwire_auth.principal import Grant
from tests.fakes import EVERYTHING, ITEM, LateEngine, RecordingTransport, Stage, principal


def listen(
    stage: Stage, codec: EventsCodec, start: StartPoint = LIVE, room: int | None = None
) -> tuple[EventsSession, RecordingTransport]:
    """Join the item as `carol`."""
    connection, transport = stage.connect("carol", codec, room)
    grant = Grant(connection.principal, ITEM, EVERYTHING)
    session = EventsSession(stage.node, connection, grant, start)
    session.opened()
    return session, transport


def ids(transport: RecordingTransport) -> list[str]:
    """List the ids that came, in their order."""
    lines = b"".join(map(bytes, transport.frames)).decode().splitlines()  # type: ignore[arg-type]
    return [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]


def publish(stage: Stage, count: int) -> str:
    """Publish so many messages; give the epoch."""
    epochs: list[str] = []
    for number in range(count):
        stage.node.publish(
            principal("bob"),
            ITEM,
            str(number),
            None,
            lambda told: epochs.append(told.epoch),  # type: ignore[union-attr]
        )
    stage.settle()
    return epochs[0]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        pytest.param(LIVE, [5], id="live"),
        pytest.param(StartPoint(replay=2), [4, 5, 5], id="replay"),
        pytest.param(StartPoint(replay=0), [5], id="nothing"),
        pytest.param("2", [3, 4, 5, 5], id="recovered"),
        pytest.param("9", [5], id="not-recovered"),
    ],
)
def test_ends_its_beginning_with_where_the_stream_stands(
    start: StartPoint | str, expected: list[int]
) -> None:
    """Not ahead of what was missed: a stream that breaks in between would go on behind it."""
    stage = Stage()
    epoch = publish(stage, 5)
    if isinstance(start, str):
        start = StartPoint(Position(epoch, int(start)))
    _, transport = listen(stage, EventsCodec(), start)

    assert ids(transport) == [f"{epoch}:{offset}" for offset in expected]


def test_a_message_is_written_once_for_all_who_listen() -> None:
    """The very same bytes: as for sockets of one codec."""
    stage = Stage()
    codecs = EventCodecs()
    (_, first), (_, second) = [listen(stage, codecs.of_item(ITEM)) for _ in "ab"]
    publish(stage, 1)

    assert first.frames[-1] is second.frames[-1]
    assert b'"data":"0"' in bytes(first.frames[-1])  # type: ignore[arg-type]


def test_who_reads_late_is_sent_back_to_nothing() -> None:
    """Its beginning waits in order, and the position behind it."""
    stage = Stage()
    epoch = publish(stage, 3)
    session, transport = listen(stage, EventsCodec(), StartPoint(replay=3), room=1)
    publish(stage, 1)
    transport.room = None
    session.writable()

    assert ids(transport) == [f"{epoch}:{offset}" for offset in (1, 2, 3, 3, 4)]


def test_an_engine_that_fails_ends_it_for_now() -> None:
    """With a stream that has begun a browser comes back, as after no status but 200."""
    engine = LateEngine()
    stage = Stage(engine)
    engine.broken.add("read")
    _, transport = listen(stage, EventsCodec())
    engine.settle()

    assert transport.reasons == [OVERLOADED.reason]
    assert b"event: closing\nretry: " in bytes(transport.frames[-1])  # type: ignore[arg-type]


def test_heeds_no_frame() -> None:
    """There is no way to send one; a holder that does so all the same changes nothing."""
    stage = Stage()
    session, transport = listen(stage, EventsCodec())
    before = len(transport.frames)
    session.received("hello")

    assert len(transport.frames) == before
    assert session.connection.is_open
