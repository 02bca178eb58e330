"""Members that join, leave and return, as subscribers see it on a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, json_client, many_client, token
from tests.scenarios.conftest import Serve

RELOADED = 1001  # what a browser's page sends when it is loaded again


@pytest.fixture(scope="module")
def impatient(serve: Serve) -> Iterator[LiveServer]:
    """A server that waits for nobody longer than it must, and lists two members."""
    settings = Settings(secret=SECRET, presence_grace=0.1, presence_limit=2, _env_file=None)
    with serve(settings) as running:
        yield running


def test_a_page_that_is_loaded_again_was_never_away(server: LiveServer, item_id: str) -> None:
    """Neither `left` nor `joined` reaches the others, and it finds itself among the members."""
    with json_client(server, item_id, scope=EVERYTHING) as alice:
        with json_client(server, item_id, "bob") as bob:
            bob.connection.close(RELOADED)
        with json_client(server, item_id, "bob", scope=EVERYTHING) as again:
            listed = alice.ask("members")
            assert again.member == bob.member
            assert again.member in again.welcome["members"]
        told = [alice.read() for _ in range(2)]

    assert listed["count"] == 2
    assert told == [
        {"type": kind, "item": item_id, "member": bob.member} for kind in ("joined", "left")
    ]


def test_a_connection_that_breaks_is_told_as_left(impatient: LiveServer, item_id: str) -> None:
    """A phone that loses its network says no goodbye; when the grace time is over, it is gone."""
    with (
        json_client(impatient, item_id, scope=EVERYTHING) as alice,
        json_client(impatient, item_id, "bob") as bob,
    ):
        alice.read()
        bob.connection.socket.shutdown(socket.SHUT_RDWR)

        assert alice.read() == {"type": "left", "item": item_id, "member": bob.member}


def test_a_crowd_is_counted_and_listed_in_part(impatient: LiveServer, item_id: str) -> None:
    """And a member past the limit is announced once there is room."""
    with (
        json_client(impatient, item_id, scope=EVERYTHING) as alice,
        json_client(impatient, item_id, "bob") as bob,
        json_client(impatient, item_id, "carol", scope=EVERYTHING) as carol,
    ):
        alice.read()
        crowded = alice.ask("members", limit=1)
        bob.connection.close()
        heard = [alice.read() for _ in range(2)]
        while len(heard) < 4 and heard[-1].get("member_count") != 2:
            heard.append(alice.read())
        told = [one for one in heard if one["type"] != "count"]

    assert carol.welcome["member_count"] == crowded["count"] == 3
    assert len(carol.welcome["members"]) == 2
    assert crowded["next"] == crowded["members"][0]["connection"]
    assert told == [
        {"type": "left", "item": item_id, "member": bob.member},
        {"type": "joined", "item": item_id, "member": carol.member},
    ]


def test_a_socket_of_many_items_comes_back_to_each(server: LiveServer, item_id: str) -> None:
    """Each join on its own: where it left by word, it is a new member."""
    items = [f"{item_id}{x}" for x in "ab"]
    with many_client(server, token("bob", EVERYTHING)) as many:
        first = [many.ask("join", item=item)["connection"] for item in items]
        many.ask("leave", item=items[1])
        many.connection.close(RELOADED)
    with many_client(server, token("bob", EVERYTHING)) as many:
        again = [many.ask("join", item=item) for item in items]

    assert first[0] == first[1] == again[0]["connection"] != again[1]["connection"]
    assert [one["member_count"] for one in again] == [1, 1]
