"""Envelopes as our own clients read them, with payloads that older servers stored."""

from __future__ import annotations

import json

import msgspec
import pytest

from itemwire.messages import HistoryReply, Publication
from itemwire.wire import JSON
from itemwire.wire.envelopes import read_envelope
from tests.fakes import draft
from tests.wire.test_payloads import ACCEPTED, REFUSED


def frame_with(text: str) -> str:
    """Write a message as a server sends one that is stored."""
    frame = JSON.encode(Publication.of(draft(msgspec.Raw(text.encode())), 1))
    assert isinstance(frame, str)
    return frame


@REFUSED
def test_shows_the_text_of_a_payload_that_cannot_be_read(text: str) -> None:
    """The reader goes on, and nothing is shown as another value."""
    envelope = read_envelope(frame_with(text))

    assert (envelope["type"], envelope["offset"], envelope["data"]) == ("message", 1, text)


@ACCEPTED
def test_reads_every_other_payload_as_json_does(text: str) -> None:
    """The twins."""
    frame = frame_with(text)

    assert read_envelope(frame) == json.loads(frame)


def test_reads_a_history_message_by_message() -> None:
    """One that cannot be read leaves the others as they are."""
    found = [Publication.of(draft(msgspec.Raw(text)), 1) for text in (b"1e999", b'{"a":1}')]
    frame = JSON.encode(HistoryReply(1, epoch="e", offset=1, messages=found, complete=True))
    assert isinstance(frame, str)

    assert [one["data"] for one in read_envelope(frame)["messages"]] == ["1e999", {"a": 1}]


@pytest.mark.parametrize(
    "payload", ["[" * 90_000 + "]" * 90_000, '{"a":' * 9000 + "1" + "}" * 9000]
)
def test_shows_the_text_of_a_payload_that_no_parser_takes(payload: str) -> None:
    """A Python with a deeper stack may have stored it."""
    envelope = read_envelope(frame_with(payload))

    assert envelope == {**read_envelope(frame_with("1")), "data": payload}


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("hello", id="no-json"),
        pytest.param("[]", id="no-object"),
        pytest.param('{"type":"message","item":"1","data":' + "[" * 90_000, id="cut-short"),
        pytest.param('{"type":"reply","messages":[{"data":' + "[" * 90_000 + "}", id="a-history"),
    ],
)
def test_says_that_a_frame_cannot_be_read(frame: str) -> None:
    """By ValueError alone, so that one `except` is enough."""
    with pytest.raises(ValueError, match=r"."):
        read_envelope(frame)
