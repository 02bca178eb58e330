"""Many items on one socket, each joined on its own."""

from __future__ import annotations

import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import (
    PLAIN,
    TALKING,
    closed,
    item_path,
    json_client,
    many_client,
    token,
)


def test_hears_each_item_it_joined_and_no_other(server: LiveServer, item_id: str) -> None:
    """One socket, several channels, the same frames as on a socket of one."""
    with many_client(server) as many, json_client(server, f"{item_id}b") as other:
        welcomes = [many.ask("join", item=f"{item_id}{x}", ref=x) for x in "ab"]
        reply = other.ask("publish", data="hello")
        message = many.read()

        assert [(one["type"], one["item"], one["ref"]) for one in welcomes] == [
            ("welcome", f"{item_id}a", "a"),
            ("welcome", f"{item_id}b", "b"),
        ]
        assert message == other.read()
        assert message["offset"] == reply["offset"]


def test_is_refused_an_item_and_keeps_the_socket(server: LiveServer, item_id: str) -> None:
    """Each join is authorised on its own."""
    scope = f"items:{item_id}:subscribe"
    with many_client(server, token(scope=scope)) as many:
        refused = many.ask("join", item="another", ref=1)
        invalid = many.ask("join", item="no item", ref=2)
        welcome = many.ask("join", item=item_id, ref=3)

        assert (refused["type"], refused["code"], refused["item"]) == (
            "error",
            "forbidden",
            "another",
        )
        assert (invalid["type"], invalid["code"]) == ("error", "item_invalid")
        assert (welcome["type"], welcome["can"]) == ("welcome", ["subscribe"])


def test_hears_nothing_of_an_item_after_it_left(server: LiveServer, item_id: str) -> None:
    """The reply to `leave` is the last that has to do with it."""
    with many_client(server) as many, json_client(server, item_id) as other:
        many.ask("join", item=item_id)
        left = many.ask("leave", item=item_id, ref=1)
        other.ask("publish", data="unheard")
        pong = many.ask("ping", ref=2)
        error = many.ask("publish", item=item_id, data=1, ref=3)

        assert (left["type"], left["ref"]) == ("reply", 1)
        assert pong["type"] == "pong"
        assert (error["type"], error["code"]) == ("error", "not_joined")


def test_a_refresh_ends_the_items_that_are_no_longer_allowed(
    server: LiveServer, item_id: str
) -> None:
    """And keeps the rest (requirement 69)."""
    with many_client(server) as many:
        for x in "ab":
            many.ask("join", item=f"{item_id}{x}")
        many.send("refresh", token=token(scope=f"items:{item_id}a:subscribe"), ref=9)
        ended, reply = many.read(), many.read()

        assert (ended["type"], ended["item"], ended["reason"]) == (
            "ended",
            f"{item_id}b",
            "forbidden",
        )
        assert reply["items"] == {f"{item_id}a": ["subscribe"]}


def test_requests_right_behind_a_join_wait_for_it(server: LiveServer, item_id: str) -> None:
    """A client need not wait for its welcome."""
    with many_client(server, token(scope=TALKING)) as many:
        many.send("join", item=item_id, ref=1)
        many.send("publish", item=item_id, data="early", ref=2)
        kinds = [many.read()["type"] for _ in range(3)]

        assert kinds == ["welcome", "message", "reply"]


def test_resumes_an_item_from_a_position(server: LiveServer, item_id: str) -> None:
    """Everything after it, ahead of what is live."""
    with json_client(server, item_id) as other, many_client(server) as many:
        first = other.ask("publish", data=1)
        other.ask("publish", data=2)
        since = f"{first['epoch']}:{first['offset']}"
        welcome = many.ask("join", item=item_id, since=since)
        message = many.read()

        assert (welcome["was_recovering"], welcome["recovered"]) == (True, True)
        assert message["data"] == 2


def test_speaks_json_where_no_codec_is_offered(server: LiveServer, item_id: str) -> None:
    """There is no plain way to say which item: a client with nothing but a socket gets on."""
    with many_client(server, subprotocols=()) as many:
        assert many.ask("join", item=item_id)["type"] == "welcome"


def test_does_not_answer_the_plain_subprotocol(server: LiveServer) -> None:
    """A browser that offered nothing else gives up, as it should."""
    with many_client(server, subprotocols=(PLAIN,)) as many:
        assert many.connection.subprotocol is None


@pytest.mark.parametrize("since", ["7", "e:", "e:x", ":7", "e:7:8", "e:-1", "é:1", "e:7%0A"])
def test_a_position_that_is_none_is_refused(server: LiveServer, item_id: str, since: str) -> None:
    """On the item's own route; a position that could be one gets in."""
    path = item_path(item_id, {"token": token()})
    refusal = server.refusal(f"{path}&since={since}")

    assert (refusal.code, refusal.reason) == (1008, "query_invalid")
    with json_client(server, item_id, since="e:7") as client:
        assert client.welcome["was_recovering"] is True


def test_resumes_on_the_items_own_socket(server: LiveServer, item_id: str) -> None:
    """Where the last one ended, and goes on with what is live."""
    with json_client(server, item_id) as client:
        position = client.ask("publish", data=1)
    with json_client(server, item_id, "bob") as bob:
        bob.ask("publish", data=2)
        since = f"{position['epoch']}:{position['offset']}"
        with json_client(server, item_id, since=since) as client:
            bob.ask("publish", data=3)

            assert client.welcome["recovered"] is True
            assert [one["data"] for one in client.messages(2)] == [2, 3]


def test_a_stranger_is_refused_the_socket(server: LiveServer) -> None:
    """Before it has joined anything."""
    with server.connect("/ws?token=nonsense") as connection:
        assert closed(connection) == (1008, "credentials_invalid")
