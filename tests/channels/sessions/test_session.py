"""A session acts on each frame; it never waits, raises or harms another one."""

from __future__ import annotations

import logging

import pytest

from itemwire.close_reasons import OVERLOADED
from itemwire.engines.base import EngineError
from itemwire.messages import Frame
from itemwire.wire.base import Codec
from itemwire_auth.scopes import Action
from tests.fakes import EVERYTHING, JSON, LIMITS, PLAIN, LateEngine, Stage

LIMIT = LIMITS.max_message_bytes


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("x" * (LIMIT + 1), id="text"),
        pytest.param(b"x" * (LIMIT + 1), id="binary"),
        pytest.param("ä" * (LIMIT // 2 + 1), id="bytes-count-and-not-characters"),
    ],
)
def test_ends_with_message_too_big_past_the_limit(stage: Stage, frame: Frame) -> None:
    """The limit is in bytes, as `welcome` says, and nobody receives what is past it."""
    watching, peer = stage.join(codec=PLAIN), stage.join(codec=PLAIN)
    peer.session.received(frame)

    assert peer.transport.reasons == ["message_too_big"]
    assert peer.transport.closes[0].code == 1009
    assert watching.transport.frames == []


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("x" * LIMIT, id="text"),
        pytest.param(b"x" * LIMIT, id="binary"),
        pytest.param("ä" * (LIMIT // 2), id="two-bytes-a-character"),
        pytest.param("", id="empty"),
    ],
)
def test_takes_a_message_of_just_the_limit(stage: Stage, frame: Frame) -> None:
    """The twin of what is too big."""
    watching, peer = stage.join(codec=PLAIN), stage.join(codec=PLAIN)
    peer.session.received(frame)

    assert peer.connection.is_open
    assert watching.transport.frames == [frame]


@pytest.mark.parametrize("codec", [JSON, PLAIN], ids=["json", "plain"])
def test_ends_alone_when_a_command_fails(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, codec: Codec
) -> None:
    """A crash ends that socket with `internal`, no other; the log says how (requirement 106)."""
    watching = stage.join("watching")
    peer = stage.join("alice", codec=codec)

    def crash(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(stage.engine, "publish_now", crash)
        peer.session.received('{"type":"publish","data":1}')

    assert peer.transport.reasons == ["internal"]
    assert "a fault of ours" not in str(peer.transport.frames)
    assert "a fault of ours" in caplog.text
    assert watching.says("publish", data=1, ref=1)["ref"] == 1


def test_reads_nothing_after_its_end(stage: Stage) -> None:
    """A client that goes on after the close must have no effect."""
    watching, peer = stage.join("watching"), stage.join("alice")
    peer.session.received("x" * (LIMIT + 1))
    peer.session.received('{"type":"publish","data":"late"}')

    assert watching.saw("message") == []
    assert peer.transport.reasons == ["message_too_big"]


def test_ignores_input_of_a_connection_that_is_about_to_end(stage: Stage) -> None:
    """A drain waits for answers: it must not be given more to wait for."""
    watching, peer = stage.join("watching"), stage.join("alice")
    peer.connection.ignore_input()
    peer.session.received('{"type":"publish","data":"late"}')
    watching.says("publish", data="still sent to it")

    assert [one["data"] for one in watching.saw("message")] == ["still sent to it"]
    assert [one["data"] for one in peer.saw("message")] == ["still sent to it"]
    assert not peer.session.pinged(4)


def test_leaves_when_its_socket_is_gone(stage: Stage) -> None:
    """Closing a tab shows as `left`."""
    watching, peer = stage.join("watching"), stage.join("alice")
    peer.session.closed(1001)

    assert [one["member"]["subject"] for one in watching.saw("left")] == ["alice"]
    assert peer.transport.closes == []


def test_answers_nobody_whose_socket_is_gone(late_stage: Stage, late_engine: LateEngine) -> None:
    """The engine may answer when there is nobody left to tell."""
    peer = late_stage.join()
    late_engine.settle()
    peer.says("publish", data=1, ref=1)
    peer.session.closed(1006)
    late_engine.settle()

    assert peer.saw("reply", "message") == []


@pytest.mark.parametrize("request_", ["publish", "history"])
def test_says_overloaded_when_the_engine_fails_and_stays(
    late_stage: Stage, late_engine: LateEngine, request_: str
) -> None:
    """Only the one request failed, and asking again may help."""
    peer = late_stage.join()
    late_engine.settle()
    late_engine.broken |= {"publish", "read"}
    fields = {"data": 1} if request_ == "publish" else {}
    peer.says(request_, ref="r", **fields)
    late_engine.settle()

    (error,) = peer.saw("error")
    assert (error["code"], error["temporary"], error["ref"]) == ("overloaded", True, "r")
    assert "broken" not in error["detail"]
    assert peer.connection.is_open


def test_ends_a_plain_client_whose_message_was_not_stored(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """It has no words for an answer, and silence would mean that all is well."""
    peer = late_stage.join(codec=PLAIN)
    late_engine.settle()
    late_engine.broken.add("publish")
    peer.session.received("hello")
    late_engine.settle()

    assert peer.transport.reasons == ["overloaded"]


def test_answers_a_publish_only_once_it_is_stored(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """An answer is a promise (requirement 110)."""
    peer = late_stage.join()
    late_engine.settle()
    peer.says("publish", data=1, ref=1)
    replies_before = peer.saw("reply")
    late_engine.settle()

    assert replies_before == []
    assert [one["offset"] for one in peer.saw("reply")] == [1]


def test_never_raises_whatever_a_server_hands_it(stage: Stage) -> None:
    """A lone surrogate is no text, and a server that lets it through must not lose a task."""
    peer = stage.join(codec=PLAIN)
    peer.session.received("\ud800")

    assert stage.join().connection.is_open


def test_logs_what_the_engine_said_and_not_what_the_client_did(
    late_stage: Stage, late_engine: LateEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator needs the cause; messages are nobody's business."""
    caplog.set_level(logging.DEBUG)
    peer = late_stage.join(can=EVERYTHING - {Action.HISTORY})
    late_engine.settle()
    late_engine.broken.add("publish")
    peer.says("publish", data="private words")
    late_engine.settle()

    assert str(EngineError("publish is broken")) in caplog.text
    assert "private words" not in caplog.text


def test_carries_every_payload_between_codecs(stage: Stage) -> None:
    """Text, JSON and binary cross between codecs as the protocol says."""
    json, plain = stage.join("json"), stage.join("plain", codec=PLAIN)
    for frame in ("text", b"\x00\xff"):
        plain.session.received(frame)
    for data in ("string", {"a": [1, None]}, None, 1.5):
        json.says("publish", data=data)

    assert plain.transport.frames == [
        "text", b"\x00\xff", "string", '{"a":[1,null]}', "null", "1.5",
    ]  # fmt: skip
    assert [(one["data"], one.get("encoding")) for one in json.saw("message")] == [
        ("text", None),
        ("AP8=", "base64"),
        ("string", None),
        ({"a": [1, None]}, None),
        (None, None),
        (1.5, None),
    ]


def test_a_ping_is_answered_where_nothing_is_limited(stage: Stage) -> None:
    """Also one that comes while the connection ends: nobody judges it then."""
    peer = stage.join()
    answers = [peer.session.pinged(10)]
    peer.connection.end(OVERLOADED)
    answers.append(peer.session.pinged(10))

    assert answers == [False, False]
