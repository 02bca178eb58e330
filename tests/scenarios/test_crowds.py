"""Rooms past the presence limit, as their subscribers see them on real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import (
    EVERYTHING,
    Envelope,
    item_path,
    json_client,
    many_client,
    token,
)
from tests.scenarios.conftest import Serve
from tests.scenarios.event_source import EventSource, event_source
from tests.scenarios.test_msgpack import MSGPACK, read


@pytest.fixture(scope="module")
def crowded(serve: Serve) -> Iterator[LiveServer]:
    """A server that lists two members of an item and counts the others."""
    settings = Settings(secret=SECRET, presence_grace=0, presence_limit=2, _env_file=None)
    with serve(settings) as running:
        yield running


def until_count(hear: Callable[[], Envelope], number: int) -> list[Envelope]:
    """Read until a client is told this number of members; give what came, the number last."""
    heard = [hear()]
    while heard[-1].get("type") != "count" or heard[-1]["member_count"] != number:
        heard.append(hear())
    return heard


def envelope_of(events: EventSource) -> Callable[[], Envelope]:
    """Read a stream as a socket is read."""
    return lambda: events.read().envelope


def test_everybody_is_told_one_number_in_every_form(crowded: LiveServer, item_id: str) -> None:
    """JSON, MessagePack, a socket of many items and server-sent events (requirement 160)."""
    path = item_path(item_id, {"token": token("dora")})
    with (
        json_client(crowded, item_id, scope=EVERYTHING) as alice,
        json_client(crowded, item_id, "bob") as bob,
        event_source(crowded, item_id) as carol,
        crowded.connect(path, subprotocols=(MSGPACK,)) as dora,
        many_client(crowded, token("erin", EVERYTHING)) as erin,
    ):
        welcome = erin.ask("join", item=item_id)
        heard = until_count(alice.read, 5)
        told = [
            until_count(envelope_of(carol), 5)[-1],
            until_count(lambda: read(dora), 5)[-1],
            until_count(erin.read, 5)[-1],
        ]
        page = alice.ask("members")
        bob.connection.send('{"type":"ping","ref":1}')
        blind = bob.read()  # the first that one without the right `presence` gets

    assert welcome["member_count"] == page["count"] == 5
    assert told == [heard[-1]] * 3 == [{"type": "count", "item": item_id, "member_count": 5}] * 3
    assert [one["member"] for one in heard if one["type"] != "count"] == [bob.member]
    assert blind == {"type": "pong", "ref": 1}


def test_a_crowd_that_shrinks_is_told_who_is_left(crowded: LiveServer, item_id: str) -> None:
    """The number comes last; then each who comes or goes is told again (requirement 160)."""
    with (
        json_client(crowded, item_id, scope=EVERYTHING) as alice,
        json_client(crowded, item_id, "bob") as bob,
        json_client(crowded, item_id, "carol") as carol,
    ):
        until_count(alice.read, 3)
        bob.connection.close()
        heard = until_count(alice.read, 2)
        carol.connection.close()
        last = alice.read()

    item = {"item": item_id}
    assert heard == [
        {"type": "left", **item, "member": bob.member},
        {"type": "joined", **item, "member": carol.member},
        {"type": "count", **item, "member_count": 2},
    ]
    assert last == {"type": "left", **item, "member": carol.member}
