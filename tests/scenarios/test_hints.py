"""Clients that ask for hints, and for signs of life, on real servers of both protocols."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
from fastapi import FastAPI

from itemwire.channels.node import Node
from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from itemwire_auth.dependencies import authorize_item
from itemwire_auth.errors import ChannelException
from itemwire_auth.principal import Grant
from tests.conftest import SECRET
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    PLAIN,
    TALKING,
    Envelope,
    closed,
    item_path,
    many_client,
    token,
)
from tests.scenarios.conftest import Door, Serve, Timed, fastpath_only

HINTED: Final[dict[str, object]] = {"hints": 1}


def read(connection: object) -> Envelope:
    """Read one envelope."""
    receive = getattr(connection, "recv")  # noqa: B009 - of either kind of client
    envelope: Envelope = json.loads(receive(timeout=PATIENCE))
    return envelope


def hinted(server: LiveServer, query: str = "hints=1") -> str:
    """Write the path of a socket for many items, with a token."""
    return f"/ws?token={token(scope=TALKING)}&{query}"


def test_a_socket_of_many_items_is_greeted_at_once(server: LiveServer) -> None:
    """It need not ask for anything to know that it is in."""
    with server.connect(hinted(server, "hints=1&heartbeat=25"), subprotocols=(JSON,)) as many:
        hello = read(many)

    assert (hello["type"], hello["subject"], hello["max_items"]) == ("hello", "alice", 100)
    assert hello["heartbeat"] == 25
    assert 0 < hello["expires_at"] - hello["server_time"] <= 300


def test_a_socket_of_one_item_is_greeted_before_its_welcome(
    server: LiveServer, item_id: str
) -> None:
    """Whatever time the join takes."""
    path = item_path(item_id, {"token": token(), **HINTED})
    with server.connect(path, subprotocols=(JSON,)) as one:
        hello, welcome = read(one), read(one)

    assert (hello["type"], welcome["type"]) == ("hello", "welcome")
    assert hello["connection"] == welcome["connection"]
    assert 0 <= welcome["server_time"] - hello["server_time"] < PATIENCE


def test_an_error_says_what_to_do(server: LiveServer) -> None:
    """The verdict on a join, as a handshake would get it."""
    with many_client(server, query=f"token={token(scope='items:x:subscribe')}&hints=1") as many:
        many.read()
        refused = many.ask("join", item="another")

    assert (refused["code"], refused["retry"]) == ("forbidden", "never")


def asked(door: Door, query: Mapping[str, object]) -> str:
    """Write the path of an item, with a good token unless the query says otherwise."""
    return item_path("42", {"token": door.tokens.good(), **query})


@pytest.mark.parametrize("query", [{"token": ""}, {"token": "x"}, {"since": "x"}], ids=str)
def test_a_refused_handshake_has_its_verdict(door: Door, query: dict[str, object]) -> None:
    """In its reason; the form of HTTP had it always."""
    plain, told = asked(door, query), asked(door, {**query, **HINTED})
    before, after = door.refusal(plain), door.refusal(told)
    said = "never" if "since" in query else "token"
    expected = Refusal(101, 1008, f"{before.reason};retry={said}")

    assert after == (expected if door.mode == "close" else before)


def test_a_good_token_gets_in_with_hints(door: Door) -> None:
    """The twin of those that are refused."""
    with door.server.connect(asked(door, HINTED), subprotocols=(JSON,)) as one:
        assert [read(one)["type"], read(one)["type"]] == ["hello", "welcome"]


@pytest.mark.parametrize(
    "wrong", ["hints=2", "hints=", "heartbeat=4", "heartbeat=301", "heartbeat=x", "heartbeat=05"]
)
def test_a_wish_that_is_none_is_refused(server: LiveServer, wrong: str) -> None:
    """A client that asks for something wrong would wait for it in vain."""
    paths = [hinted(server, wrong), f"/ws/echo?token={token()}&{wrong}"]
    paths.append(item_path("42", {"token": token()}) + f"&{wrong}")

    assert {server.refusal(path) for path in paths} == {Refusal(101, 1008, "query_invalid")}


@pytest.mark.parametrize("right", ["hints=0", "hints=1", "heartbeat=5", "heartbeat=300"])
def test_a_wish_that_is_one_is_not(server: LiveServer, right: str) -> None:
    """The accepted twins."""
    with server.connect(hinted(server, right), subprotocols=(JSON,)) as many:
        many.send('{"type":"ping","ref":1}')
        kinds = [read(many)["type"]]
        kinds += [read(many)["type"]] if kinds == ["hello"] else []

    assert kinds[-1] == "pong"
    assert (kinds[0] == "hello") == (right == "hints=1")


@pytest.mark.parametrize("offered", [(JSON,), (PLAIN,), ()], ids=str)
def test_an_end_has_its_verdict(timed: Timed, offered: tuple[str, ...]) -> None:
    """Also where no envelope could tell it, on an echo and on a plain socket."""
    paths = [
        item_path("42", {"token": token(lifetime=60), **HINTED}),
        f"/ws/echo?token={token(lifetime=60)}&hints=1",
    ]
    with contextlib.ExitStack() as stack:
        all_of_them = [
            stack.enter_context(timed.server.connect(path, subprotocols=offered)) for path in paths
        ]
        timed.clock.advance(90)

        assert {closed(one) for one in all_of_them} == {(1008, "token_expired;retry=token")}


@fastpath_only
@pytest.mark.parametrize(
    ("frames", "end"),
    [
        pytest.param("a" * 65_537, (1009, "message_too_big;retry=never"), id="too_big"),
        pytest.param([b"\xff"], (1007, "payload_invalid;retry=never"), id="no_utf8"),
    ],
)
@pytest.mark.parametrize("offered", [JSON, PLAIN])
def test_what_the_protocol_class_refuses_has_its_verdict(
    server: LiveServer, item_id: str, offered: str, frames: str | list[bytes], end: tuple[int, str]
) -> None:
    """It asks the session for its last words; uvicorn's own class has reasons of its own."""
    path = item_path(item_id, {"token": token(), **HINTED})
    with server.connect(path, subprotocols=(offered,)) as one:
        one.send(frames, text=True)

        assert closed(one) == end


async def blocked(item_id: str) -> Grant:
    """Refuse by an application's own word."""
    raise ChannelException(item_id, retry="token")


@pytest.fixture(scope="module", params=["close", "http"])
def blocking(request: pytest.FixtureRequest, serve: Serve) -> Iterator[LiveServer]:
    """Run an application that refuses each item by its own name."""
    settings = Settings(secret=SECRET, refusal=request.param, _env_file=None)
    app = create_app(settings)
    app.dependency_overrides[authorize_item] = blocked
    with serve(settings, app) as running:
        yield running


def test_an_own_reason_has_its_own_verdict(blocking: LiveServer) -> None:
    """`ChannelException("blocked", retry="token")` reaches the client whole, in both forms."""
    path = item_path("blocked", {"token": token(), **HINTED})
    refusal = blocking.refusal(path, subprotocols=(JSON,))

    assert refusal in {
        Refusal(101, 1008, "blocked;retry=token"),
        Refusal(401, body=b'{"code":1008,"reason":"blocked","retry":"token"}'),
    }


def test_an_own_reason_is_told_at_a_join_as_well(blocking: LiveServer) -> None:
    """By the error that answers it."""
    with many_client(blocking, query=f"token={token()}&hints=1") as many:
        many.read()
        refused = many.ask("join", item="blocked")

    assert (refused["code"], refused["retry"]) == ("blocked", "token")


def begin_drain(node: Node) -> None:
    """Take a node out of service."""
    node.drain()


def node_of(app: FastAPI) -> Node:
    """Return the node that an application runs."""
    node: Node = app.state.itemwire.node
    return node


def test_a_drain_has_its_verdict_and_its_time(serve: Serve, settings: Settings) -> None:
    """In the envelope with the time to wait, and in the close frames of all, newcomers too."""
    app = create_app(settings)
    with (
        serve(settings, app) as server,
        server.connect(hinted(server), subprotocols=(JSON,)) as many,
        server.connect(item_path("42", {"token": token(), **HINTED})) as plain,
    ):
        node = node_of(app)
        node.environment.timers.hand_over(lambda: begin_drain(node))
        read(many)
        closing = read(many)

        assert (closing["reason"], closing["retry"]) == ("draining", "now")
        assert 0 <= closing["retry_after_ms"] < 2000
        assert [closed(one) for one in (many, plain)] == [(1012, "draining;retry=now")] * 2
        assert server.refusal(hinted(server)) == Refusal(101, 1012, "draining;retry=now")


def test_signs_of_life_come_from_the_server(serve: Serve, settings: Settings) -> None:
    """A page sees no ping of the protocol, so it asks for envelopes."""
    app = create_app(settings)
    with (
        serve(settings, app) as server,
        server.connect(hinted(server, "heartbeat=5"), subprotocols=(JSON,)) as many,
    ):
        node = node_of(app)
        many.send('{"type":"ping","ref":1}')
        assert read(many) == {"type": "pong", "ref": 1}
        for _ in range(10):  # its seconds
            node.environment.timers.hand_over(node.tick)

        assert [read(many), read(many)] == [{"type": "ping"}] * 2
