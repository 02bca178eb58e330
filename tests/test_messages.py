"""The values that travel: the size of a frame, and how a draft becomes a publication."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.messages import Draft, Ephemeral, Event, Payload, Publication, frame_size


@given(st.text())
def test_counts_text_as_it_travels(text: str) -> None:
    """Limits are in bytes of UTF-8, also where counting characters is quicker."""
    assert frame_size(text) == len(text.encode())


@given(st.binary())
def test_counts_binary_as_it_is(data: bytes) -> None:
    """Every byte is one."""
    assert frame_size(data) == len(data)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        pytest.param("text", msgspec.UNSET, id="text"),
        pytest.param(b"binary", "base64", id="binary"),
        pytest.param(b"", "base64", id="empty-binary"),
        pytest.param(msgspec.Raw(b"{}"), msgspec.UNSET, id="json"),
    ],
)
def test_marks_binary_and_nothing_else(data: Payload, encoding: object) -> None:
    """An envelope shows binary as text: only the mark tells the two apart."""
    publication = Publication.of(Draft("42", "alice", 1.5, data, "key"), 7)

    assert publication.encoding == encoding
    assert (publication.item, publication.offset) == ("42", 7)
    assert (publication.sender, publication.sent_at, publication.data) == ("alice", 1.5, data)


def test_keeps_the_key_of_a_message_to_its_sender() -> None:
    """A key is between a client and the engine: with it another could claim the answer."""
    publication = Publication.of(Draft("42", "alice", 1.5, "hi", "the key"), 1)

    assert "the key" not in msgspec.json.encode(publication).decode()


def test_gives_each_event_a_type_of_its_own() -> None:
    """A client tells events apart by nothing else."""
    own = [event for event in Event.__subclasses__() if event.__module__ == Event.__module__]
    nouns = [event for event in own if event is not Ephemeral]  # a message, which says so itself
    types = [event.__struct_config__.tag for event in nouns]

    assert sorted(map(str, types)) == sorted(
        [
            "message",
            "welcome",
            "direct",
            "direct_lost",
            "joined",
            "left",
            "count",
            "updated",
            "reply",
            "error",
            "pong",
            "hello",
            "ping",
            "expiring",
            "closing",
            "gap",
            "ended",
        ]
    )
