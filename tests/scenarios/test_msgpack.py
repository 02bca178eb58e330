"""Clients that speak MessagePack beside ones that speak JSON and ones that speak nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import pytest
from websockets.sync.client import ClientConnection

from itemwire.messages import Event, Frame
from itemwire.testing import ChannelClient, LiveServer
from itemwire.wire.msgpack_codec import MsgpackCodec
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PATIENCE,
    closed,
    item_path,
    plain_client,
    token,
)

MSGPACK: Final = "itemwire.v1.msgpack"


@contextmanager
def client(
    server: LiveServer, item_id: str, subprotocol: str = MSGPACK, **query: object
) -> Iterator[ChannelClient]:
    """Join an item's channel as a client of the kit, and be welcomed."""
    path = item_path(item_id, {"token": token(scope=EVERYTHING), **query})
    with server.client(path, subprotocols=(subprotocol,)) as one:
        yield one


def read(connection: ClientConnection) -> dict[str, Any]:
    """Read one envelope of MessagePack."""
    frame = connection.recv(timeout=PATIENCE)
    assert isinstance(frame, bytes)
    envelope: dict[str, Any] = msgspec.msgpack.decode(frame)
    return envelope


def test_the_whole_conversation_is_binary(server: LiveServer, item_id: str) -> None:
    """The words are those of JSON."""
    path = item_path(item_id, {"token": token(), "hints": 1})
    with server.connect(path, subprotocols=(MSGPACK, JSON)) as one:
        hello, welcome = read(one), read(one)
        one.send(msgspec.msgpack.encode({"type": "publish", "ref": 1, "data": {"a": [1, None]}}))
        message, reply = read(one), read(one)

        assert one.subprotocol == MSGPACK
    assert (hello["type"], welcome["type"], welcome["item"]) == ("hello", "welcome", item_id)
    assert (message["type"], message["data"]) == ("message", {"a": [1, None]})
    assert (reply["type"], reply["ref"], reply["offset"]) == ("reply", 1, 1)


@pytest.mark.parametrize(
    ("data", "in_json", "plain"),
    [
        pytest.param("text", {"data": "text"}, "text", id="text"),
        pytest.param({"a": 1.5}, {"data": {"a": 1.5}}, '{"a":1.5}', id="json"),
        pytest.param(b"\x00\xff", {"data": "AP8=", "encoding": "base64"}, b"\x00\xff", id="bytes"),
    ],
)
def test_what_it_publishes_reaches_every_client(
    server: LiveServer, item_id: str, data: object, in_json: dict[str, object], plain: Frame
) -> None:
    """Each in its own form, live and from the history."""
    with (
        client(server, item_id) as one,
        client(server, item_id, JSON) as other,
        plain_client(server, item_id) as bare,
    ):
        one.publish(data)
        live = [one.message(), other.message()]
        read_back = [peer.ask("history")["messages"][0] for peer in (one, other)]

        assert bare.recv(timeout=PATIENCE) == plain
    assert live == read_back
    assert (live[0]["data"], "encoding" in live[0]) == (data, False)
    assert in_json.items() <= live[1].items()


def test_what_others_publish_reaches_it(server: LiveServer, item_id: str) -> None:
    """Text, JSON and bytes, live and replayed."""
    with (
        client(server, item_id) as one,
        client(server, item_id, JSON) as other,
        plain_client(server, item_id) as bare,
    ):
        other.publish({"n": 12345678901234567890123, "s": "é"})
        other.publish("text")
        bare.send(b"\x01\x02")
        live = [one.message() for _ in range(3)]
        with client(server, item_id, replay=10) as late:
            replayed = [late.message() for _ in range(3)]

    assert [message["data"] for message in live] == [
        {"n": 1.2345678901234568e22, "s": "é"},
        "text",
        b"\x01\x02",
    ]
    assert replayed == live


def test_serves_many_items_and_members(server: LiveServer, item_id: str) -> None:
    """On `/ws`, by a list, with its members and their changes."""
    path = f"/ws?token={token(scope=EVERYTHING)}"
    with server.client(path, subprotocols=(MSGPACK,)) as many:
        many.ask("join", items=[{"item": item_id}, {"item": "no item"}])
        refused = many.expect("error")
        with client(server, item_id) as one:
            joined = many.expect("joined")
            assert one.welcome()["member_count"] == 2

    assert refused["item"] == "no item"
    assert joined["member"]["subject"] == "alice"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"a": b"x"}, id="bytes_inside"),
        pytest.param({1: 2}, id="names"),
        pytest.param([float("nan")], id="nan"),
        pytest.param(msgspec.msgpack.Ext(1, b"x"), id="extension"),
    ],
)
def test_what_json_cannot_hold_is_refused(server: LiveServer, item_id: str, data: object) -> None:
    """With its `ref`, and nothing of it reaches anybody; what follows is served."""
    with client(server, item_id) as one, client(server, item_id, JSON) as other:
        refused = one.publish(data)
        one.publish("good")

        assert (refused["type"], refused["code"]) == ("error", "payload_invalid")
        assert refused["detail"].startswith("data: JSON cannot hold")
        assert other.message()["data"] == "good"


@pytest.mark.parametrize(
    "frame", ['{"type":"ping"}', b"\xc1", b"\x93\x01"], ids=["text", "no_value", "cut_short"]
)
def test_a_frame_that_is_none_is_told_and_survived(
    server: LiveServer, item_id: str, frame: Frame
) -> None:
    """A text frame as well: its envelopes are binary."""
    with client(server, item_id) as one:
        one.send(frame)

        assert one.expect("error")["code"] == "payload_invalid"
        assert one.ask("ping")["type"] == "pong"


def test_a_refused_client_is_answered_its_subprotocol(server: LiveServer) -> None:
    """Or a browser would show it no reason."""
    with server.connect("/ws?token=x&hints=1", subprotocols=(MSGPACK,)) as refused:
        assert closed(refused) == (1008, "credentials_invalid;retry=token")
        assert refused.subprotocol == MSGPACK


def test_a_message_is_encoded_once_for_all_of_them(
    server: LiveServer, item_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many clients of the codec there are."""
    encoded: list[str] = []
    encode = MsgpackCodec.encode

    def counted(self: MsgpackCodec, event: Event) -> Frame:
        encoded.append(type(event).__name__)
        return encode(self, event)

    monkeypatch.setattr(MsgpackCodec, "encode", counted)
    with (
        client(server, item_id) as one,
        client(server, item_id) as two,
        client(server, item_id, JSON) as other,
    ):
        other.publish({"a": 1})
        heard = [peer.message()["data"] for peer in (one, two, other)]

    assert heard == [{"a": 1}] * 3
    assert encoded.count("Publication") == 1
