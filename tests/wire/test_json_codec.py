"""JSON envelopes: the exact text a client receives, and the requests it may send."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.messages import (
    Closing,
    Error,
    Event,
    Frame,
    HistoryReply,
    Joined,
    Left,
    Member,
    MemberCount,
    MembersReply,
    Payload,
    Pong,
    Publication,
    PublishReply,
    RefreshReply,
    Reply,
    Welcome,
)
from itemwire.wire.base import MalformedFrame
from itemwire.wire.json_codec import JsonCodec
from tests.fakes import draft

CODEC = JsonCodec()
ALICE = Member("c1", "alice")


class Greet(msgspec.Struct, tag="greet", tag_field="type", forbid_unknown_fields=True):
    """A request of these tests."""

    name: str
    ref: int | None = None


class Wave(msgspec.Struct, tag="wave", tag_field="type"):
    """Another, so that there is a choice."""


REQUESTS: dict[str, type[Greet | Wave]] = {"greet": Greet, "wave": Wave}

decode: Callable[[Frame], Greet | Wave] = CODEC.decoder(REQUESTS, lambda _: Wave())


@pytest.mark.parametrize(
    ("event", "text"),
    [
        pytest.param(
            Publication("42", 7, "alice", 1.5, "hi"),
            '{"type":"message","item":"42","offset":7,"sender":"alice","sent_at":1.5,"data":"hi"}',
            id="message",
        ),
        pytest.param(
            Joined("42", ALICE),
            '{"type":"joined","item":"42","member":{"connection":"c1","subject":"alice"}}',
            id="joined",
        ),
        pytest.param(
            Left("42", ALICE),
            '{"type":"left","item":"42","member":{"connection":"c1","subject":"alice"}}',
            id="left",
        ),
        pytest.param(
            MemberCount("42", 1234), '{"type":"count","item":"42","member_count":1234}', id="count"
        ),
        pytest.param(Reply(), '{"type":"reply"}', id="reply-to-no-ref"),
        pytest.param(
            HistoryReply(0, epoch="e", offset=0, messages=[], complete=False),
            '{"type":"reply","ref":0,"epoch":"e","offset":0,"messages":[],"complete":false}',
            id="reply-with-what-is-empty",
        ),
        pytest.param(
            MembersReply("r", members=[], count=0),
            '{"type":"reply","ref":"r","members":[],"count":0}',
            id="nobody",
        ),
        pytest.param(
            MembersReply(members=[ALICE], count=2, next="c1"),
            '{"type":"reply","members":[{"connection":"c1","subject":"alice"}],"count":2,'
            '"next":"c1"}',
            id="members-and-more",
        ),
        pytest.param(Reply(7), '{"type":"reply","ref":7}', id="reply"),
        pytest.param(
            PublishReply(epoch="e", offset=0),
            '{"type":"reply","epoch":"e","offset":0}',
            id="published",
        ),
        pytest.param(
            RefreshReply(1, expires_at=9, can=["publish"]),
            '{"type":"reply","ref":1,"expires_at":9,"can":["publish"]}',
            id="refreshed",
        ),
        pytest.param(
            RefreshReply(1, expires_at=9, items={"42": []}),
            '{"type":"reply","ref":1,"expires_at":9,"items":{"42":[]}}',
            id="refreshed-of-many",
        ),
        pytest.param(
            Error("internal", temporary=True, detail="Why.", ref=1),
            '{"type":"error","code":"internal","temporary":true,"detail":"Why.","ref":1}',
            id="error",
        ),
        pytest.param(Pong(), '{"type":"pong"}', id="pong"),
        pytest.param(
            Closing(1012, "draining", "now", 0),
            '{"type":"closing","code":1012,"reason":"draining","retry":"now","retry_after_ms":0}',
            id="closing",
        ),
        pytest.param(
            Welcome("c1", "alice", "42", ["publish"], "e", 0, False, False, 9, 20, 5, [ALICE]),
            '{"type":"welcome","connection":"c1","subject":"alice","item":"42","can":["publish"],'
            '"epoch":"e","offset":0,"was_recovering":false,"recovered":false,"expires_at":9,'
            '"ping_interval":20,"max_message_bytes":5,'
            '"members":[{"connection":"c1","subject":"alice"}]}',
            id="welcome",
        ),
    ],
)
def test_writes_each_envelope_as_the_protocol_says(event: Event, text: str) -> None:
    """Names, order and absence are what clients were written against."""
    assert CODEC.encode(event) == text


@pytest.mark.parametrize(
    ("data", "written"),
    [
        pytest.param('ä\n"😀', '"data":"ä\\n\\"😀"', id="text"),
        pytest.param(b"\x00\xff", '"data":"AP8=","encoding":"base64"', id="binary"),
        pytest.param(b"", '"data":"","encoding":"base64"', id="empty-binary"),
        pytest.param(msgspec.Raw(b'{"a": [1]}'), '"data":{"a": [1]}', id="json-as-written"),
    ],
)
def test_writes_each_payload_as_the_protocol_says(data: Payload, written: str) -> None:
    """Binary is marked as such, so that no text is taken for it."""
    frame = CODEC.encode(Publication.of(draft(data), 1))

    assert isinstance(frame, str)
    assert frame.endswith(f",{written}}}")


@given(st.text())
def test_carries_any_text_there_and_back(text: str) -> None:
    """A payload is the client's own, to the last character."""
    frame = CODEC.encode(Publication.of(draft(text), 1))

    assert msgspec.json.decode(frame)["data"] == text


def test_reads_a_request_by_its_type() -> None:
    """Wherever the type stands in the object."""
    assert decode('{"name":"bob","type":"greet","ref":1}') == Greet("bob", 1)
    assert decode('{"type":"wave","more":1}') == Wave()


@pytest.mark.parametrize(
    ("frame", "code", "ref"),
    [
        pytest.param('{"type":"greet","ref":1}', "payload_invalid", 1, id="a-field-is-missing"),
        pytest.param('{"type":"greet","name":5,"ref":"r"}', "payload_invalid", "r", id="wrong"),
        pytest.param('{"type":"greet","name":"","x":1,"ref":1}', "payload_invalid", 1, id="extra"),
        pytest.param('{"ref":1}', "payload_invalid", 1, id="no-type"),
        pytest.param('{"type":"shout","ref":1}', "not_supported", 1, id="unknown-type"),
        pytest.param('{"type":"shout"}', "not_supported", msgspec.UNSET, id="unknown-without-ref"),
        pytest.param('{"type":"shout","ref":[]}', "payload_invalid", msgspec.UNSET, id="no-ref"),
        pytest.param("[]", "payload_invalid", msgspec.UNSET, id="no-object"),
        pytest.param("{", "payload_invalid", msgspec.UNSET, id="cut-short"),
        pytest.param("[" * 100_000, "payload_invalid", msgspec.UNSET, id="deep"),
        pytest.param(
            '{"type":"wave","x":' + "[" * 100_000, "payload_invalid", msgspec.UNSET, id="x"
        ),
        pytest.param(b'{"type":"wave"}', "payload_invalid", msgspec.UNSET, id="binary"),
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
