"""MessagePack envelopes: what JSON clients get, as values, and what JSON can hold comes back."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from itemwire.messages import (
    Closing,
    Direct,
    Ephemeral,
    Error,
    Event,
    Frame,
    HistoryReply,
    Joined,
    Member,
    MembersReply,
    Payload,
    Publication,
    RequestReply,
    Welcome,
)
from itemwire.wire.base import MalformedFrame
from itemwire.wire.json_codec import JsonCodec
from itemwire.wire.msgpack_codec import WITH_DATA, WITH_JSON, MsgpackCodec
from itemwire.wire.payloads import MAX_DEPTH
from tests.fakes import draft

CODEC: Final = MsgpackCodec()
JSON: Final = JsonCodec()
ALICE: Final = Member("c1", "alice", msgspec.Raw(b'{"name":"Alice","big":1e3}'))

pack: Final = msgspec.msgpack.encode
unpack: Final = msgspec.msgpack.decode


class Greet(msgspec.Struct, tag="greet", tag_field="type", forbid_unknown_fields=True):
    """A request of these tests."""

    name: str
    ref: int | None = None


class Wave(msgspec.Struct, tag="wave", tag_field="type"):
    """Another, so that there is a choice."""


REQUESTS: dict[str, type[Greet | Wave]] = {"greet": Greet, "wave": Wave}

decode: Callable[[Frame], Greet | Wave] = CODEC.decoder(REQUESTS, lambda _: Wave())


def message(data: Payload) -> Publication:
    """Make a message with this payload."""
    return Publication.of(draft(data), 1)


def read(event: Event) -> dict[str, Any]:
    """Read the frame of an event."""
    frame = CODEC.encode(event)
    assert isinstance(frame, bytes)
    found: dict[str, Any] = unpack(frame)
    return found


@pytest.mark.parametrize(
    "event",
    [
        message("text"),
        message(msgspec.Raw(b'{"a": [1, 2.50, null, "\\u00e9"]}')),
        Ephemeral.of(message("text")),
        Direct(None, 1.5, msgspec.Raw(b"[true]")),
        Joined("42", ALICE),
        MembersReply(1, members=[ALICE], count=2, next="c1"),
        RequestReply(2, data=msgspec.Raw(b'{"unread": 0}')),
        HistoryReply(3, epoch="e", offset=1, messages=[message("a")], complete=True),
        Error("forbidden", temporary=False, detail="No.", ref="r"),
        Closing(1012, "draining", "now", 840),
        Welcome("c", "alice", "42", ["publish"], "e", 0, False, False, None, 20.0, 5, [ALICE], 1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_says_what_json_says(event: Event) -> None:
    """Field by field and in the same order, absent ones too."""
    written = json.loads(JSON.encode(event))

    assert list(read(event).items()) == list(written.items())


@pytest.mark.parametrize("data", [b"", b"\x00\xff"])
def test_carries_bytes_as_they_are(data: bytes) -> None:
    """Without base64, which is a third more, and without a word about it."""
    history = HistoryReply(3, epoch="e", offset=1, messages=[message(data)], complete=True)
    alone = read(message(data))

    assert read(history)["messages"] == [alone]
    assert (alone["data"], "encoding" in alone) == (data, False)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        pytest.param(b"18446744073709551615", 2**64 - 1, id="largest"),
        pytest.param(b"-9223372036854775808", -(2**63), id="smallest"),
        pytest.param(b'[{"a":18446744073709551616}]', [{"a": 2.0**64}], id="larger"),
        pytest.param(b"[-9223372036854775809]", [-(2.0**63)], id="smaller"),
        pytest.param(b"9" * 308, float("9" * 308), id="of_308_digits"),
    ],
)
def test_an_integer_that_does_not_fit_is_a_double(written: bytes, value: object) -> None:
    """As every client in JavaScript reads it from JSON."""
    found = read(message(msgspec.Raw(written)))["data"]

    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    "written",
    ["[1e999]", "9" * 400, "9" * 5000, "[" * 3000 + "]" * 3000, '["\\ud800"]'],
    ids=["infinite", "long", "longer", "deep", "half_a_pair"],
)
def test_what_no_reader_takes_is_its_json_text(written: str) -> None:
    """A server of an earlier version may have stored it; one message must not end a stream."""
    found = read(message(msgspec.Raw(written.encode())))

    assert (found["data"], found["encoding"]) == (written, "json")


def all_events(kind: type[Event] = Event) -> Iterator[type[Event]]:
    """List every event there is."""
    for one in kind.__subclasses__():
        if one.__module__ == Event.__module__:
            yield one
            yield from all_events(one)


def may_hold_json(kind: type[Event]) -> bool:
    """Tell whether a field of an event, or of a member in it, may hold JSON text."""
    hints = get_type_hints(kind).values()
    return any("Raw" in str(hint) or "Member" in str(hint) for hint in hints)


def test_knows_every_event_that_may_hold_json_text() -> None:
    """Encoded as it is, JSON text would be taken for MessagePack."""
    found = {kind for kind in all_events() if may_hold_json(kind)}

    assert found == {*WITH_DATA, *WITH_JSON}


def nested(levels: int, inside: object = None, *, as_map: bool = False) -> object:
    """Make a value that is nested so deeply."""
    empty: object = {} if as_map else []
    value = empty if inside is None else inside
    for _ in range(levels - (inside is None)):
        value = {"a": value} if as_map else [value]
    return value


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        pytest.param({"a": b"x"}, b"x", id="bytes_inside"),
        pytest.param([[b""]], [[""]], id="bytes_in_an_array"),
        pytest.param({1: 2}, {"1": 2}, id="a_number_as_a_name"),
        pytest.param({b"a": 1}, {"a": 1}, id="bytes_as_a_name"),
        pytest.param([{"a": {None: 1}}], [{"a": {"": 1}}], id="nil_as_a_name"),
        pytest.param(math.nan, 0.0, id="nan"),
        pytest.param([1, math.inf], [1, 1e308], id="infinite"),
        pytest.param({"a": -math.inf}, {"a": -1e308}, id="minus_infinite"),
        pytest.param(msgspec.msgpack.Ext(5, b"x"), [5, "x"], id="extension"),
        pytest.param([dt.datetime(2026, 11, 30, tzinfo=dt.UTC)], ["2026-11-30"], id="timestamp"),
        pytest.param(nested(MAX_DEPTH + 1), nested(MAX_DEPTH), id="deep"),
        pytest.param(nested(MAX_DEPTH + 1, 7), nested(MAX_DEPTH, 7), id="deep_with_a_number"),
        pytest.param(
            nested(MAX_DEPTH + 1, as_map=True), nested(MAX_DEPTH, as_map=True), id="deep_maps"
        ),
        pytest.param(nested(900), "[" * 900, id="very_deep"),
        pytest.param(nested(MAX_DEPTH, b""), nested(MAX_DEPTH, ""), id="bytes_at_the_bottom"),
        pytest.param(nested(MAX_DEPTH, math.nan), nested(MAX_DEPTH, 1.5), id="nan_at_the_bottom"),
    ],
)
def test_takes_what_json_can_hold_and_nothing_else(bad: object, good: object) -> None:
    """Each refused value has a twin that is taken and comes back as it was."""
    with pytest.raises(ValueError, match=r"^data: "):
        CODEC.payload_of(msgspec.Raw(pack(bad)))

    payload = CODEC.payload_of(msgspec.Raw(pack(good)))
    assert read(message(payload))["data"] == good


def test_a_value_too_deep_for_its_reader_is_refused() -> None:
    """The parser's own limit comes in the way then."""
    with pytest.raises(ValueError, match="nested deeper"):
        CODEC.payload_of(msgspec.Raw(b"\x91" * 5000 + b"\xc0"))


JSON_VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=20,
)


@given(JSON_VALUES | st.binary())
def test_any_value_of_json_comes_back_as_it_was(value: object) -> None:
    """From a MessagePack client to another, by way of what is stored."""
    stored = message(CODEC.payload_of(msgspec.Raw(pack(value))))

    assert read(stored)["data"] == value
    if not isinstance(value, bytes):
        assert json.loads(JSON.encode(stored))["data"] == value


def test_reads_a_request_by_its_type() -> None:
    """Wherever the type stands in the map."""
    assert decode(pack({"name": "bob", "type": "greet", "ref": 1})) == Greet("bob", 1)
    assert decode(pack({"type": "wave", "more": b"x"})) == Wave()


@pytest.mark.parametrize(
    ("frame", "code", "ref"),
    [
        pytest.param(pack({"type": "greet", "ref": 1}), "payload_invalid", 1, id="missing"),
        pytest.param(
            pack({"type": "greet", "name": 5, "ref": "r"}), "payload_invalid", "r", id="wrong"
        ),
        pytest.param(
            pack({"type": "greet", "name": "", "x": 1, "ref": 1}), "payload_invalid", 1, id="extra"
        ),
        pytest.param(pack({"ref": 1}), "payload_invalid", 1, id="no-type"),
        pytest.param(pack({"type": "shout", "ref": 1}), "not_supported", 1, id="unknown-type"),
        pytest.param(pack({"type": "shout"}), "not_supported", UNSET, id="unknown-without-ref"),
        pytest.param(pack([]), "payload_invalid", UNSET, id="no-map"),
        pytest.param(pack({1: 2}), "payload_invalid", UNSET, id="no-names"),
        pytest.param(pack({"type": "wave"})[:-1], "payload_invalid", UNSET, id="cut-short"),
        pytest.param(pack({"type": "wave"}) + b"x", "payload_invalid", UNSET, id="too-much"),
        pytest.param(b"\x91" * 100_000, "payload_invalid", UNSET, id="deep"),
        pytest.param(b"\xdf\xff\xff\xff\xff", "payload_invalid", UNSET, id="promises-much"),
        pytest.param(b"", "payload_invalid", UNSET, id="empty"),
        pytest.param('{"type":"wave"}', "payload_invalid", UNSET, id="text"),
    ],
)
def test_says_what_is_wrong_with_a_frame(frame: Frame, code: str, ref: object) -> None:
    """A client learns which of its requests it was, where that can be read."""
    with pytest.raises(MalformedFrame) as malformed:
        decode(frame)

    assert malformed.value.code == code
    assert malformed.value.ref == ref
    assert str(malformed.value)


@given(st.text() | st.binary())
def test_raises_nothing_but_malformed_frame(frame: Frame) -> None:
    """Another exception would end the session with `internal`."""
    with pytest.raises(MalformedFrame):
        decode(frame)


@given(st.binary())
def test_raises_nothing_but_value_error_for_data(data: bytes) -> None:
    """Whatever bytes stand in the place of a value."""
    try:
        payload = CODEC.payload_of(msgspec.Raw(data))
    except ValueError:
        return

    assert isinstance(payload, str | bytes | msgspec.Raw)
