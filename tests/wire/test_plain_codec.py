"""Plain: a frame is a message and a message is a frame."""

from __future__ import annotations

import msgspec
import pytest

from itemwire.messages import (
    Closing,
    Error,
    Event,
    Frame,
    Joined,
    Left,
    Member,
    MemberCount,
    Payload,
    Pong,
    Publication,
    Reply,
)
from itemwire.wire import PLAIN
from tests.fakes import draft


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        pytest.param("text", "text", id="text"),
        pytest.param("", "", id="empty"),
        pytest.param('{"looks":"like JSON"}', '{"looks":"like JSON"}', id="text-like-json"),
        pytest.param(b"\x00\xff", b"\x00\xff", id="binary"),
        pytest.param(b"", b"", id="empty-binary"),
        pytest.param(msgspec.Raw('{"a": "ä"}'.encode()), '{"a": "ä"}', id="json-as-written"),
        pytest.param(msgspec.Raw(b"null"), "null", id="null"),
    ],
)
def test_gives_the_payload_and_nothing_else(data: Payload, frame: Frame) -> None:
    """Text stays a text frame and binary a binary one; other JSON is its JSON text."""
    encoded = PLAIN.encode(Publication.of(draft(data), 1))

    assert encoded == frame
    assert type(encoded) is type(frame)


@pytest.mark.parametrize(
    "event",
    [
        Joined("42", Member("c1", "alice")),
        Left("42", Member("c1", "alice")),
        MemberCount("42", 1234),
        Reply(),
        Error("internal", temporary=False, detail=""),
        Pong(),
        Closing(1011, "internal", "later", 1000),
    ],
    ids=lambda event: type(event).__name__,
)
def test_has_no_word_for_anything_else(event: Event) -> None:
    """`wscat` would show it as somebody's message."""
    assert PLAIN.encode(event) is None


@pytest.mark.parametrize("frame", ["", "text", '{"type":"ping"}', b"", b"\xff"])
def test_takes_every_frame_for_a_message(frame: Frame) -> None:
    """No frame is malformed."""
    decode = PLAIN.decoder({}, lambda taken: [taken])

    assert decode(frame) == [frame]
