"""Malformed requests are answered with an error and end no connection."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.sessions.commands import COMMANDS
from itemwire.messages import Frame
from tests.fakes import LIMITS, PLAIN, Stage
from tests.wire.test_payloads import REFUSED

UNREADABLE: dict[str, Frame] = {
    "nothing": "",
    "white-space": " ",
    "not-json": "hello",
    "cut-short": '{"type":"ping"',
    "two-values": '{"type":"ping"}{"type":"ping"}',
    "an-array": "[]",
    "null": "null",
    "a-string": '"ping"',
    "not-a-number": '{"type":"publish","data":NaN}',
    "a-leading-zero": '{"type":"publish","data":01}',
    "a-raw-line-feed": '{"type":"publish","data":"a\nb"}',
    "a-lone-surrogate": r'{"type":"publish","data":"\ud800"}',
    "a-lone-surrogate-deep-inside": r'{"type":"publish","data":[{"a":"\udc00"}]}',
    "a-surrogate-as-the-type": r'{"type":"\ud800"}',
    "deep-nesting": '{"type":"publish","data":' + "[" * 5000,
    "deep-nesting-well-formed": '{"type":"publish","data":' + "[" * 4900 + "]" * 4900 + "}",
    "deep-nesting-in-an-unknown-field": '{"type":"ping","x":' + '{"a":' * 1900,
    "a-byte-order-mark": '\ufeff{"type":"ping"}',
    "binary": b'{"type":"ping"}',
    "binary-that-is-no-utf-8": b"\xff\xfe",
    "two-types": '{"type":"publish","type":"ping","data":1}',
}

ILL_FORMED: dict[str, tuple[str, dict[str, object]]] = {
    "no-data": ("publish", {}),
    "an-extra-field": ("ping", {"sender": "mallory"}),
    "a-sender": ("publish", {"data": 1, "sender": "mallory"}),
    "a-key-that-is-a-number": ("publish", {"data": 1, "key": 5}),
    "an-empty-key": ("publish", {"data": 1, "key": ""}),
    "a-long-key": ("publish", {"data": 1, "key": "k" * 129}),
    "a-limit-of-zero": ("history", {"limit": 0}),
    "a-negative-limit": ("history", {"limit": -1}),
    "a-limit-that-is-text": ("history", {"limit": "5"}),
    "a-limit-that-is-true": ("history", {"limit": True}),
    "a-limit-with-a-fraction": ("history", {"limit": 1.5}),
    "a-negative-offset": ("history", {"after": -1}),
    "an-offset-of-100-digits": ("history", {"before": int("9" * 100)}),
    "an-offset-past-javascript": ("history", {"after": 2**53}),
    "no-token": ("refresh", {}),
    "an-item-that-is-a-number": ("ping", {"item": 1}),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_answers_what_it_cannot_read_with_an_error_and_stays(stage: Stage, name: str) -> None:
    """Nothing a client can write ends in `internal`, and nobody else hears of it."""
    watching, peer = stage.join("watching"), stage.join("alice")
    peer.session.received(UNREADABLE[name])

    assert [one["code"] for one in peer.saw("error")] == ["payload_invalid"]
    assert peer.says("ping")["type"] == "pong"
    assert watching.saw("message") == []


@pytest.mark.parametrize("name", ILL_FORMED)
def test_answers_an_ill_formed_request_with_its_ref(stage: Stage, name: str) -> None:
    """The client must know which of its requests was not done."""
    kind, fields = ILL_FORMED[name]
    peer = stage.join()
    peer.session.received(json.dumps({"type": kind, "ref": "r", **fields}))

    (error,) = peer.saw("error")
    assert (error["code"], error["ref"], error["temporary"]) == ("payload_invalid", "r", False)
    assert peer.says("ping")["type"] == "pong"


@pytest.mark.parametrize(
    "ref",
    [
        *("1.5", "true", "null", "-1", str(2**53), "[]", r'"\ud800"'),
        pytest.param("9" * 5000, id="5000-digits"),
        pytest.param(f'"{"r" * 65}"', id="65-characters"),
    ],
)
def test_answers_without_a_ref_that_is_none(stage: Stage, ref: str) -> None:
    """What JavaScript cannot hold would come back as another ref."""
    peer = stage.join()
    peer.session.received(f'{{"type":"ping","ref":{ref}}}')

    (error,) = peer.saw("error")
    assert error["code"] == "payload_invalid"
    assert "ref" not in error


@pytest.mark.parametrize("ref", [0, 2**53 - 1, "", "r" * 64, "ref ä 😀"])
def test_returns_a_ref_as_it_came(stage: Stage, ref: object) -> None:
    """The twin: every ref within the bounds, text or number."""
    assert stage.join().says("ping", ref=ref)["ref"] == ref


@pytest.mark.parametrize("type_", ["5", "null", "[]", '{"a":1}'])
def test_returns_the_ref_of_a_request_whose_type_is_no_text(stage: Stage, type_: str) -> None:
    """The type cannot be read, and the ref can."""
    peer = stage.join()
    peer.session.received(f'{{"type":{type_},"ref":"r"}}')

    assert peer.saw("error")[0].get("ref") == "r"


def test_takes_the_last_of_a_field_given_twice(stage: Stage) -> None:
    """As JavaScript does, and one message is what comes of it."""
    peer = stage.join()
    peer.session.received('{"type":"publish","data":1,"data":2}')

    assert [one["data"] for one in peer.saw("message")] == [2]


def with_refs() -> Iterator[tuple[str, Frame]]:
    """Yield the frames above that are objects, with a `ref` before or after what is wrong."""
    for name, frame in UNREADABLE.items():
        text = frame.decode(errors="replace") if isinstance(frame, bytes) else frame
        written = {}
        if "{" in text:
            written["first"] = text.replace("{", '{"ref":"r",', 1)
        if text.endswith("}") and name != "two-values":
            written["last"] = text[:-1] + ',"ref":"r"}'
        for place, one in written.items():
            yield f"{name}-{place}", one.encode() if isinstance(frame, bytes) else one


@pytest.mark.parametrize("frame", [pytest.param(one, id=name) for name, one in with_refs()])
def test_answers_what_it_cannot_read_with_its_ref(stage: Stage, frame: Frame) -> None:
    """Requirement 133: wherever it can be found, whatever is wrong with the rest of the frame."""
    peer = stage.join()
    peer.session.received(frame)

    (error,) = peer.saw("error")
    assert (error["code"], error.get("ref")) == ("payload_invalid", "r")


@REFUSED
def test_refuses_a_payload_out_of_the_bounds_with_its_ref(stage: Stage, text: str) -> None:
    """Nothing is stored, nobody hears it, and the publisher knows which one it was."""
    watching, peer = stage.join("watching"), stage.join("alice")
    peer.session.received(f'{{"type":"publish","ref":"r","data":{text}}}')

    (error,) = peer.saw("error")
    assert (error["code"], error["ref"], error["temporary"]) == ("payload_invalid", "r", False)
    assert error["detail"].startswith("data: ")
    assert watching.saw("message") == []


def test_carries_a_number_of_308_digits_as_it_is(stage: Stage) -> None:
    """`data` is the clients' own; the server does no sums with it."""
    peer, plain = stage.join(), stage.join(codec=PLAIN)
    digits = "9" * 308
    peer.session.received(f'{{"type":"publish","data":{digits}}}')

    assert plain.transport.frames == [digits]
    assert peer.connection.is_open


@given(text=st.text(max_size=LIMITS.max_message_bytes // 4), binary=st.binary(max_size=100))
def test_survives_any_frame(text: str, binary: bytes) -> None:
    """Whatever arrives is answered or done; `internal` is for our own faults."""
    peer = Stage().join()
    for frame in (text, binary):
        peer.session.received(frame)

    assert peer.transport.reasons == []
    assert len(peer.sees) == 3


FIELDS = ("ref", "item", "data", "key", "after", "before", "limit", "token", "x")

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    envelope=st.fixed_dictionaries(
        {"type": st.sampled_from(list(COMMANDS)) | JSON_VALUES},
        optional=dict.fromkeys(FIELDS, JSON_VALUES),
    )
)
def test_survives_any_envelope(envelope: dict[str, object]) -> None:
    """The same for what is nearly right: one answer, beside the message if there is one."""
    peer = Stage().join()
    peer.session.received(msgspec.json.encode(envelope).decode())

    assert peer.transport.reasons == []
    answers = peer.saw("reply", "error", "pong")
    assert len(answers) == 1
    assert answers[0].get("code") in {None, "payload_invalid", "not_supported"}
