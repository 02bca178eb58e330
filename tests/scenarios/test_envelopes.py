"""Requests that are odd, unknown or malformed: each is answered, and the socket stays."""

import json

import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import Envelope, json_client

NOT_ENVELOPES: dict[str, str | bytes] = {
    "no_json": "hello",
    "empty": "",
    "cut_off": '{"type":"ping"',
    "list": "[]",
    "text": '"ping"',
    "null": "null",
    "no_type": "{}",
    "type_number": '{"type":5}',
    "two_values": '{"type":"ping"}{"type":"ping"}',
    "byte_order_mark": '\ufeff{"type":"ping"}',
    "single_quotes": "{'type':'ping'}",
    "nan": '{"type":"publish","data":NaN}',
    "leading_zero": '{"type":"publish","data":01}',
    "half_a_surrogate_pair": '{"type":"publish","data":"\\udc00 and more"}',
    "half_of_one_within": '{"type":"publish","data":["\\ud800 and more"]}',
    "deep_payload": '{"type":"publish","data":' + "[" * 30_000 + "]" * 30_000 + "}",
    "deep_unclosed": '{"type":"publish","data":' + "[" * 60_000,
    "deep_extra": '{"type":"ping","x":' + '{"a":' * 10_000 + "0" + "}" * 10_000 + "}",
    "ref_float": '{"type":"ping","ref":1.5}',
    "ref_negative": '{"type":"ping","ref":-1}',
    "ref_object": '{"type":"ping","ref":{}}',
    "ref_too_large": '{"type":"ping","ref":9007199254740992}',
    "ref_too_long": json.dumps({"type": "ping", "ref": "a" * 65}),
    "item_number": '{"type":"ping","item":5}',
    "binary": b'{"type":"ping"}',
    "binary_no_utf_8": b"\xff",
}

NOT_REQUESTS: dict[str, Envelope] = {
    "no_data": {"type": "publish"},
    "extra_field": {"type": "publish", "data": 1, "sender": "alice"},
    "key_number": {"type": "publish", "data": 1, "key": 5},
    "key_empty": {"type": "publish", "data": 1, "key": ""},
    "key_too_long": {"type": "publish", "data": 1, "key": "a" * 129},
    "limit_zero": {"type": "history", "limit": 0},
    "limit_negative": {"type": "history", "limit": -1},
    "limit_text": {"type": "history", "limit": "5"},
    "limit_huge": {"type": "history", "limit": 10**30},
    "after_negative": {"type": "history", "after": -1},
    "after_float": {"type": "history", "after": 1.5},
    "before_null": {"type": "history", "before": None},
    "refresh_without_token": {"type": "refresh"},
    "ping_with_extra": {"type": "ping", "data": 1},
}


@pytest.mark.parametrize("ref", [0, 7, 2**53 - 1, "", "a", "a" * 64, "ž\n"])
def test_an_answer_has_the_requests_ref(server: LiveServer, item_id: str, ref: int | str) -> None:
    """As it came: a client looks it up in a table of its own."""
    with json_client(server, item_id) as alice:
        answers = []
        for envelope in ({"type": "ping"}, {"type": "nope"}, {"type": "publish"}):
            alice.connection.send(json.dumps(envelope | {"ref": ref}))
            answers.append(alice.read())

    assert [(answer["type"], answer["ref"]) for answer in answers] == [
        ("pong", ref),
        ("error", ref),
        ("error", ref),
    ]


def test_a_ping_without_ref_is_answered_without_one(server: LiveServer, item_id: str) -> None:
    """A field that is absent stays absent."""
    with json_client(server, item_id) as alice:
        alice.connection.send('{"type":"ping"}')

        assert alice.read() == {"type": "pong"}


@pytest.mark.parametrize("kind", ["join", "leave", "nope", "welcome", "Publish", ""])
def test_what_is_not_supported_is_answered_and_the_socket_stays(
    server: LiveServer, item_id: str, kind: str
) -> None:
    """A newer client finds out, and goes on with what there is (requirement 84)."""
    with json_client(server, item_id) as alice:
        error = alice.ask(kind)
        pong = alice.ask("ping")

    assert (error["type"], error["code"], error["temporary"]) == ("error", "not_supported", False)
    assert error["detail"]
    assert pong["type"] == "pong"


@pytest.mark.parametrize("frame", NOT_ENVELOPES.values(), ids=NOT_ENVELOPES)
def test_what_is_no_envelope_gets_an_error_and_the_socket_stays(
    server: LiveServer, item_id: str, frame: str | bytes
) -> None:
    """A bug in one client must not look like a broken network (requirements 84, 85)."""
    with json_client(server, item_id) as alice:
        alice.connection.send(frame)
        error = alice.read()
        answer = alice.ask("publish", data="still here")

    assert (error["type"], error["code"], error["temporary"]) == ("error", "payload_invalid", False)
    assert "Traceback" not in error["detail"]
    assert answer["offset"] == 1


@pytest.mark.parametrize("request_", NOT_REQUESTS.values(), ids=NOT_REQUESTS)
def test_a_malformed_request_gets_an_error_with_its_ref(
    server: LiveServer, item_id: str, request_: Envelope
) -> None:
    """Who waits for an answer gets one, and nothing was done."""
    fields = {name: value for name, value in request_.items() if name != "type"}
    with json_client(server, item_id) as alice:
        error = alice.ask(request_["type"], **fields)
        answer = alice.ask("publish", data="still here")

    assert (error["type"], error["code"], error["temporary"]) == ("error", "payload_invalid", False)
    assert answer["offset"] == 1
