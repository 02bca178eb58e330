"""An echo connection sends back every frame as it came, within the bounds of any other."""

from __future__ import annotations

from itemwire.channels.limits.bounds import RateLimits
from itemwire.channels.sessions.echo import EchoSession
from itemwire.close_reasons import RATE_LIMITED
from itemwire.messages import Frame
from tests.fakes import JSON, LIMITS, Close, Stage

LIMIT = LIMITS.max_message_bytes


def test_echoes_every_frame_as_it_came(stage: Stage) -> None:
    """Text stays text and binary stays binary."""
    connection, transport = stage.connect()
    session = EchoSession(stage.node, connection)
    frames: list[Frame] = ["text", b"\x00\xff", '{"a":1}', "", b""]
    for frame in frames:
        session.received(frame)

    assert transport.frames == frames


def test_ends_an_echo_that_is_not_read(stage: Stage) -> None:
    """An echo is bounded as any other connection is."""
    connection, transport = stage.connect(room=1)
    session = EchoSession(stage.node, connection)
    for _ in range(3):
        session.received("x" * LIMIT)

    assert transport.reasons == ["slow_consumer"]


def test_an_echo_past_the_rate_is_closed() -> None:
    """What it says is what its client said and nothing else."""
    limited = Stage(rate_limits=RateLimits(publish=1))
    connection, transport = limited.connect(codec=JSON)
    echo = EchoSession(limited.node, connection)

    for text in ("one", "two", "three"):
        echo.received(text)

    assert transport.frames[:2] == ["one", "two"]
    assert transport.closes == [Close(RATE_LIMITED.code, RATE_LIMITED.reason)]
