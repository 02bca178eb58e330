"""Every command: which right it needs, and what its answer is."""

from __future__ import annotations

import pytest

from itemwire.channels.sessions.commands import DECODERS
from itemwire.wire import CODECS
from itemwire.wire.base import Codec
from itemwire_auth.scopes import Action
from tests.fakes import CHANNEL, EVERYTHING, JSON, PLAIN, LateEngine, Stage, draft

NEEDS = {
    "publish": (Action.PUBLISH, {"data": 1}),
    "history": (Action.HISTORY, {}),
    "members": (Action.PRESENCE, {}),
}


@pytest.mark.parametrize("kind", NEEDS)
def test_refuses_without_the_right(stage: Stage, kind: str) -> None:
    """Every command is checked, not only the connect; nobody receives it (requirements 59, 62)."""
    action, fields = NEEDS[kind]
    watching = stage.join("watching")
    peer = stage.join("alice", can=EVERYTHING - {action})
    error = peer.says(kind, ref="r", **fields)

    assert (error["type"], error["ref"], error["code"]) == ("error", "r", "scope_missing")
    assert error["temporary"] is False
    assert peer.connection.is_open
    assert watching.saw("message") == []


@pytest.mark.parametrize("kind", NEEDS)
def test_takes_what_the_right_allows(stage: Stage, kind: str) -> None:
    """The one right is enough: `subscribe` is the route's to ask for."""
    action, fields = NEEDS[kind]
    peer = stage.join("alice", can=frozenset({action}))
    reply = peer.says(kind, ref="r", **fields)

    assert (reply["type"], reply["ref"]) == ("reply", "r")


def test_ends_a_plain_client_that_may_not_publish(stage: Stage) -> None:
    """It cannot be told in its own codec, so the close frame tells it."""
    watching = stage.join("watching")
    peer = stage.join("alice", codec=PLAIN, can=EVERYTHING - {Action.PUBLISH})
    peer.session.received("hello")

    assert peer.transport.reasons == ["scope_missing"]
    assert watching.saw("message") == []


def test_publishes_what_a_plain_client_sends_that_may(stage: Stage) -> None:
    """The twin: and what looks like an envelope is a message like any other."""
    watching = stage.join("watching")
    peer = stage.join("alice", codec=PLAIN, can=frozenset({Action.PUBLISH}))
    peer.session.received('{"type":"members"}')

    assert [one["data"] for one in watching.saw("message")] == ['{"type":"members"}']
    assert peer.connection.is_open


def test_answers_where_a_message_went(stage: Stage) -> None:
    """Offset and epoch are the message's name from then on."""
    peer = stage.join()
    reply = peer.says("publish", data="hello", ref=7)

    assert reply == {"type": "reply", "ref": 7, "epoch": peer.sees[0]["epoch"], "offset": 1}


def test_a_message_ends_a_stream_only_if_it_says_so(stage: Stage) -> None:
    """Those who listen stop at the end of an answer that comes in pieces."""
    peer = stage.join()
    for fields in ({}, {"end": False}, {"end": True}):
        peer.says("publish", data="piece", **fields)

    assert [one.get("end") for one in peer.saw("message")] == [None, None, True]


def test_answers_the_same_key_with_the_same_offset(stage: Stage) -> None:
    """A client that lost the answer asks again; there is still one message (requirement 111)."""
    peer = stage.join()
    first = peer.says("publish", data="once", key="k", ref=1)
    again = peer.says("publish", data="once", key="k", ref=2)
    other = peer.says("publish", data="other", key="l", ref=3)

    assert [one["offset"] for one in (first, again, other)] == [1, 1, 2]
    assert [one["data"] for one in peer.saw("message")] == ["once", "other"]


def test_a_key_of_somebody_else_is_another(stage: Stage) -> None:
    """Otherwise a publisher could use up a key of another, and so suppress its message."""
    mallory, alice = stage.join("mallory"), stage.join("alice")
    mallory.says("publish", data="mine now", key="order-7", ref=1)

    stored = [alice.says("publish", data="paid", key="order-7", ref=n)["offset"] for n in (1, 2)]

    assert stored == [2, 2]
    assert [one["data"] for one in alice.saw("message")] == ["mine now", "paid"]


def test_a_key_is_the_same_callers_on_every_connection(stage: Stage) -> None:
    """Who was cut off asks again on another socket (requirement 111)."""
    before, after = stage.join("alice"), stage.join("alice")

    offsets = [peer.says("publish", data="paid", key="k")["offset"] for peer in (before, after)]

    assert offsets == [1, 1]


def test_reads_back_messages_as_they_were_delivered(stage: Stage) -> None:
    """A client may put history and live messages into one list."""
    peer = stage.join()
    for data in ("text", {"a": 1}, None):
        peer.says("publish", data=data)
    stage.engine.publish(CHANNEL, draft(b"\xff"), lambda _: None)
    reply = peer.says("history", ref=1)

    assert reply["messages"] == peer.saw("message")
    assert (reply["complete"], reply["offset"]) == (True, 4)


@pytest.mark.parametrize(
    ("span", "offsets", "complete"),
    [
        pytest.param({}, list(range(11, 61)), False, id="the-newest"),
        pytest.param({"limit": 2}, [59, 60], False, id="the-newest-two"),
        pytest.param({"after": 10, "limit": 2}, [11, 12], False, id="the-oldest-after"),
        pytest.param({"after": 10, "before": 13}, [11, 12], True, id="all-between"),
        pytest.param({"before": 3}, [1, 2], True, id="all-before"),
        pytest.param({"after": 60}, [], True, id="nothing-newer"),
        pytest.param({"after": 0, "limit": 2**53 - 1}, list(range(1, 51)), False, id="too-many"),
    ],
)
def test_reads_the_asked_span(
    stage: Stage, span: dict[str, int], offsets: list[int], complete: bool
) -> None:
    """`complete` says whether to ask on; the server's own limit holds for every answer."""
    peer = stage.join()
    for _ in range(60):
        stage.engine.publish(CHANNEL, draft(), lambda _: None)
    reply = peer.says("history", **span)

    assert [one["offset"] for one in reply["messages"]] == offsets
    assert reply["complete"] is complete
    assert reply["offset"] == 60


def test_lists_members(stage: Stage) -> None:
    """The same list as in `welcome`, now."""
    alice = stage.join("alice")
    bob = stage.join("bob")
    stage.join("carol", item="elsewhere")
    bob.session.closed(1000)

    reply = alice.says("members", ref=1)

    assert reply == {
        "type": "reply",
        "ref": 1,
        "members": [{"connection": "c1", "subject": "alice"}],
        "count": 1,
    }


def test_lists_members_page_by_page(stage: Stage) -> None:
    """Anyone who wants all of a crowd asks for them, and can do so to the end."""
    peers = [stage.join(f"user-{number}") for number in range(5)]
    first = peers[0].says("members", limit=2)
    second = peers[0].says("members", limit=2, after=first["next"])
    third = peers[0].says("members", limit=2, after=second["next"])

    pages = [first, second, third]
    assert [one["connection"] for page in pages for one in page["members"]] == [
        "c1",
        "c2",
        "c3",
        "c4",
        "c5",
    ]
    assert [page["count"] for page in pages] == [5, 5, 5]
    assert "next" not in third


def test_counts_members_without_listing_them(stage: Stage) -> None:
    """A page that shows a number needs no names."""
    peers = [stage.join(f"user-{number}") for number in range(3)]
    reply = peers[0].says("members", limit=0)

    assert reply == {"type": "reply", "members": [], "count": 3}


@pytest.mark.parametrize(
    "fields", [{"limit": -1}, {"limit": "2"}, {"after": 1}, {"after": "x" * 65}]
)
def test_refuses_a_page_that_cannot_be(stage: Stage, fields: dict[str, object]) -> None:
    """As everywhere, a frame that is not a request is answered as such."""
    assert stage.join().says("members", **fields)["code"] == "payload_invalid"


def test_answers_a_ping(stage: Stage) -> None:
    """A browser's script sees no WebSocket ping, and it costs no right."""
    peer = stage.join(can=frozenset())

    assert peer.says("ping", ref="r") == {"type": "pong", "ref": "r"}
    assert peer.says("ping") == {"type": "pong"}


def test_takes_no_newer_token_where_rights_cannot_be_asked_again(stage: Stage) -> None:
    """A client that asks learns it, and keeps the connection it has."""
    peer = stage.join()
    error = peer.says("refresh", token="a.b.c", ref=1)

    assert (error["code"], error["ref"], error["temporary"]) == ("not_supported", 1, False)
    assert "a.b.c" not in str(error)
    assert peer.says("ping")["type"] == "pong"


def test_ignores_the_item_on_a_socket_of_one(stage: Stage) -> None:
    """`item` is for sockets of many items: here it must not reach another channel."""
    here, there = stage.join(item="here"), stage.join(item="there")
    here.says("publish", data=1, item="there")

    assert [one["item"] for one in here.saw("message")] == ["here"]
    assert there.saw("message") == []


@pytest.mark.parametrize("kind", ["join", "leave", "nonsense", "", "Publish", "x" * 1000])
def test_says_that_a_type_is_not_supported(stage: Stage, kind: str) -> None:
    """A newer client must be able to tell and to go on (requirement 84)."""
    peer = stage.join()
    error = peer.says(kind, ref="r", whatever=[1, 2, 3])

    assert (error["type"], error["code"], error["ref"]) == ("error", "not_supported", "r")
    assert peer.says("ping")["type"] == "pong"


def test_says_that_no_application_answers_requests_here(stage: Stage) -> None:
    """A server without handlers of its own has no names to offer."""
    peer = stage.join()
    error = peer.says("request", name="price", ref=7)

    assert (error["type"], error["code"], error["ref"]) == ("error", "not_supported", 7)
    assert peer.says("ping")["type"] == "pong"


def test_has_a_reader_for_every_codec() -> None:
    """A codec is one row: nothing else may have to be added for it."""
    assert set(DECODERS) == set(CODECS.values())


@pytest.mark.parametrize("kind", NEEDS)
def test_a_denial_is_logged_once_with_its_connection(
    stage: Stage, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who tries what it may not is worth knowing (requirement 104)."""
    action, fields = NEEDS[kind]
    peer = stage.join("alice", can=EVERYTHING - {action})
    peer.says(kind, **fields)

    denied = [line for line in caplog.messages if line.startswith("denied")]
    which = f"connection={peer.connection.id} channel={CHANNEL} action={action}"
    assert denied == [f"denied {which} reason=scope_missing"]


@pytest.mark.parametrize(
    ("codec", "frame"),
    [
        pytest.param(JSON, '{"type":"publish","ref":1,"data":"private words"}', id="publish"),
        pytest.param(PLAIN, "private words", id="plain-publish"),
        pytest.param(JSON, '{"type":"history","ref":1}', id="history"),
    ],
)
def test_what_the_engine_could_not_do_is_logged_with_its_reason(
    codec: Codec,
    frame: str,
    late_stage: Stage,
    late_engine: LateEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, with the socket; what the client sent is nobody's business."""
    peer = late_stage.join(codec=codec)
    late_engine.settle()
    late_engine.broken |= {"publish", "read"}
    caplog.clear()
    peer.session.received(frame)
    late_engine.settle()

    (line,) = [one for one in caplog.messages if one.startswith("engine_failed")]
    assert f"connection={peer.connection.id} problem=" in line
    assert line.endswith(" is broken")
    assert "private words" not in caplog.text
