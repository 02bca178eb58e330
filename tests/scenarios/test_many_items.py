"""Many items on one socket, each joined on its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection

from api.testing import LiveServer
from tests.scenarios.clients import JSON, PATIENCE, TALKING, Envelope, json_client, token


class ManyClient:
    """A client of `/ws`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, kind: str, **fields: object) -> None:
        """Send a request."""
        self.connection.send(json.dumps({"type": kind, **fields}))

    def read(self) -> Envelope:
        """Give the next envelope."""
        envelope: dict[str, Any] = json.loads(self.connection.recv(timeout=PATIENCE))
        return envelope

    def ask(self, kind: str, **fields: object) -> Envelope:
        """Send a request, and give what comes next."""
        self.send(kind, **fields)
        return self.read()


@contextmanager
def many_client(server: LiveServer, credential: str | None = None) -> Iterator[ManyClient]:
    """Connect to `/ws`."""
    path = f"/ws?token={credential or token(scope=TALKING)}"
    with server.connect(path, subprotocols=(JSON,)) as connection:
        yield ManyClient(connection)


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
