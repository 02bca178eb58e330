"""The bytes of server-sent events, and the position of each item's stream."""

import msgspec
import pytest
from msgspec.structs import replace

from itemwire.messages import (
    Closing,
    Event,
    Expiring,
    Gap,
    Joined,
    Member,
    MemberCount,
    Position,
    Publication,
    Welcome,
)
from itemwire.wire.base import MalformedFrame
from itemwire.wire.events_codec import Cursor, EventCodecs, EventsCodec, Opening
from itemwire.wire.json_codec import JsonCodec


def message(offset: int, data: object = "x") -> Publication:
    """Make a message of the item 42."""
    payload = data if isinstance(data, msgspec.Raw) else str(data)
    return Publication("42", offset, "alice", 1.5, payload)


def welcome(offset: int, epoch: str = "e") -> Welcome:
    """Make the welcome to a stream that stands at an offset."""
    return Welcome("c", "alice", "42", [], epoch, offset, False, False, 9, 20, 100)


def codec_at(offset: int) -> EventsCodec:
    """Make a codec that has told where the stream stands."""
    codec = EventsCodec()
    codec.encode(welcome(offset))
    return codec


@pytest.mark.parametrize(
    ("event", "head"),
    [
        pytest.param(message(8), b"id: e:8\n", id="message"),
        pytest.param(welcome(7), b"event: welcome\nretry: 2000\n", id="welcome"),
        pytest.param(Joined("42", Member("c", "bob")), b"event: joined\n", id="joined"),
        pytest.param(MemberCount("42", 1234), b"event: count\n", id="count"),
        pytest.param(Gap("42", "n", 8, 9), b"event: gap\nid: n:9\n", id="gap"),
        pytest.param(Expiring(9), b"event: expiring\n", id="expiring"),
        pytest.param(Closing(1013, "r", "now", 0), b"event: closing\n", id="closing"),
        pytest.param(Closing(1013, "r", "later", 750), b"event: closing\nretry: 750\n", id="later"),
    ],
)
def test_writes_the_envelope_of_a_socket_as_data(event: Event, head: bytes) -> None:
    """One thing to learn for both; a message has no name, so `onmessage` hears it."""
    envelope = str(JsonCodec().encode(event)).encode()

    assert codec_at(7).encode(event) == head + b"data: " + envelope + b"\n\n"


def test_the_position_goes_on_and_never_back() -> None:
    """A replay writes messages of before; who comes next must not be sent back to them."""
    codec = codec_at(7)
    positions = []
    for event in (message(9), message(3), welcome(8), Gap("42", "n", 1, 0), message(1)):
        codec.encode(event)
        positions.append(str(codec.position))

    assert positions == ["e:9", "e:9", "e:9", "n:0", "n:1"]
    assert codec.encode(Cursor()) == b'event: cursor\nid: n:1\ndata: {"type":"cursor"}\n\n'


def test_white_space_of_a_publisher_ends_no_line() -> None:
    """CR, LF and both end a line of a stream; within a JSON string they are escaped."""
    raw = msgspec.Raw(b'{"a":\r\n1,\r"b":\n"c\\n"}')
    written = codec_at(0).encode(message(1, raw))

    assert b"\r" not in written
    assert written.count(b"\n") == 3
    envelope = written.removesuffix(b"\n\n").partition(b"data: ")[2]
    assert msgspec.json.decode(envelope)["data"] == {"a": 1, "b": "c\n"}


def test_those_who_hear_an_item_share_a_codec_and_nobody_keeps_it() -> None:
    """So a message is written once for all of them, and an idle item takes no memory."""
    codecs = EventCodecs()
    first = codecs.of_item("a")
    first.encode(welcome(5))

    assert codecs.of_item("a") is first
    assert codecs.of_item("b") is not first
    del first
    assert codecs.of_item("a").position == Position("", 0)


def test_takes_no_requests() -> None:
    """A stream goes one way."""
    decode = EventsCodec().decoder({}, lambda frame: frame)
    with pytest.raises(MalformedFrame):
        decode("{}")


def welcomed(resume: str | None) -> bytes:
    """Write a welcome to a stream that stands at 7, with a proof or without."""
    event = welcome(7) if resume is None else replace(welcome(7), resume=resume)
    return EventsCodec().encode(event)


def test_each_stream_writes_ids_of_its_own_into_what_all_share() -> None:
    """Whether one event comes or several at once; data that looks like an id stays as it is."""
    opening = welcomed("e.5.mac")
    assert isinstance(opening, Opening)
    codec = codec_at(7)
    tricky = message(8, msgspec.Raw(b'"id: e:1\\n\\nid: e:2 \nid: e:3"'))
    events: list[Event] = [tricky, Joined("42", Member("c", "bob")), Gap("42", "e", 9, 10)]
    shared = [codec.encode(one) for one in (*events, message(11), Cursor())]
    written = opening.ids.write(b"".join(shared))

    assert written == b"".join(map(opening.ids.write, shared))
    ids = [line for line in written.splitlines() if line.startswith(b"id: ")]
    assert ids == [b"id: e.5.mac:%d" % offset for offset in (8, 10, 11, 11)]
    assert written.replace(b"e.5.mac", b"e") == b"".join(shared)


def test_ids_of_another_epoch_are_left_as_they_are() -> None:
    """The proof is over then, and a comment or a closing has no id at all."""
    opening = welcomed("e.5.mac")
    assert isinstance(opening, Opening)
    gap = codec_at(7).encode(Gap("42", "n", 1, 9))

    for events in (gap, b":\n", b"id: ee:7\ndata: x\n\n", b""):
        assert opening.ids.write(events) == events


def test_a_welcome_without_a_proof_opens_a_stream_with_plain_ids() -> None:
    """The engine had no room for its secret."""
    assert not isinstance(welcomed(None), Opening)
