"""A message, a join and an end go through the files of the core in one direction.

What is pinned is each move from one file into another, as a call makes it. A call may return; but
a file that the way has left should not be called into again. Where one is, this file says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

import itemwire
from itemwire.channels.sessions.item import ItemSession
from itemwire.close_reasons import SLOW_CONSUMER
from itemwire_auth.principal import Grant
from tests.fakes import EVERYTHING, ITEM, JSON, RecordingTransport, Stage, principal

ROOT = Path(itemwire.__file__).parent
PREFIXES = ("channels/", "engines/memory", "wire/")

# Pure functions and plain containers: they call no other file, so no way leads through them.
LEAVES = {
    "bounded_buffer",
    "endings",
    "idempotency",
    "item_rules",
    "json_codec",
    "names",
    "rights",
    "small_table",
    "time_slice",
}


def name_of(frame: FrameType) -> str | None:
    """Return the name of a frame's file, if it is one of those that are looked at."""
    path = frame.f_code.co_filename
    if not path.startswith(str(ROOT)):
        return None
    relative = Path(path).relative_to(ROOT).as_posix()
    return Path(relative).stem if relative.startswith(PREFIXES) else None


def caller_of(frame: FrameType) -> str | None:
    """Return the name of the nearest file up the stack that is looked at."""
    caller = frame.f_back
    while caller is not None and name_of(caller) is None:
        caller = caller.f_back
    return None if caller is None else name_of(caller)


def moves_of(call: Callable[[], object]) -> list[str]:
    """Make a call, and return the moves from file to file in it: `a > b`, `> b` from outside."""
    moves: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (name := name_of(frame)) is not None:
            caller = caller_of(frame)
            if caller != name:
                moves.append(f"{caller or ''} > {name}".strip())

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return moves


def called_again(moves: list[str]) -> set[str]:
    """Return the files, but for leaves, that are called into after the way has left them."""
    entered: set[str] = set()
    again: set[str] = set()
    for move in moves:
        name = move.rpartition("> ")[2]
        (again if name in entered else entered).add(name)
    return again - LEAVES


PUBLISH = """
> session
session > json_codec
session > item
item > commands
commands > requests
commands > payloads
commands > checked
commands > publishing
publishing > item_rules
publishing > idempotency
publishing > environment
publishing > memory
memory > hub
hub > json_codec
hub > lanes
commands > connection
connection > json_codec
connection > small_table
connection > small_table
connection > small_table
connection > lanes
> hub
hub > time_slice
hub > lanes
lanes > time_slice
"""

PUBLISH_AGAIN = {
    "lanes": "the publisher's answer comes after the message, so what is pending is written first",
    "hub": "what a tick sends is written at its end, joined: the largest gain of the fan-out",
}

JOIN = """
> node
node > expiry
node > connection
connection > small_table
node > expiry
expiry > deadlines
node > registry
node > connection_log
> item
item > session
item > connection
connection > names
item > bounded_buffer
item > item_recheck
> item
item > session
item > node
node > join
join > item_rules
join > recovery
recovery > bounded_buffer
join > hub
join > small_table
join > memory
memory > join
join > connection
connection > small_table
join > exchange
join > item_rules
join > memory
memory > join
join > connection
connection > small_table
join > exchange
exchange > join
join > connection
connection > small_table
join > recovery
recovery > bounded_buffer
recovery > bounded_buffer
join > presence
presence > grace
presence > node
node > names
node > item_rules
presence > requests
presence > node
node > names
node > item_rules
presence > names
presence > hub
hub > json_codec
hub > lanes
join > connection_log
join > presence
join > recovery
join > resume
join > welcome
welcome > connection
welcome > connection
join > connection
connection > json_codec
connection > small_table
connection > small_table
connection > small_table
join > hub
hub > connection
hub > lanes
join > item
item > bounded_buffer
> hub
hub > time_slice
hub > lanes
lanes > time_slice
"""

JOIN_AGAIN = {
    "expiry": "the end of the session is set when the connection is made, and watched after that",
    "connection": "it is what joins: made, looked at, welcomed, and its framing chooses its lane",
    "session": "it is made, and then greets a client that asked for that, before the join begins",
    "item": "the route makes the session and opens it, and frames that came early run at the end",
    "connection_log": "observers are told of the connection, then of the item that it is on",
    "node": "the route connects, and the session joins",
    "join": "an engine answers by callback, so that asking costs neither a task nor a tick",
    "exchange": "once the item is heard it is followed, then asked if the caller's node was killed",
    "memory": "hold, then read: what comes after the history can only be held once it is heard",
    "recovery": "it holds what is published meanwhile, and gives it after the history",
    "presence": "the list in the welcome has the newcomer, who is a member only after joining",
    "hub": "held, then live; and the others are told of the newcomer",
    "lanes": "the others are told of the newcomer, who gets a lane only after that",
}

END = """
> hub
hub > time_slice
hub > lanes
lanes > time_slice
lanes > connection
connection > item_rules
connection > slow_consumers
connection > outbox
hub > connection
connection > connection_log
connection > node
node > expiry
expiry > deadlines
node > registry
node > heartbeats
node > small_table
node > join
join > hub
hub > lanes
join > presence
presence > grace
presence > names
presence > hub
hub > json_codec
hub > lanes
join > connection_log
node > small_table
node > small_table
node > small_table
node > small_table
connection > endings
connection > json_codec
hub > lanes
lanes > time_slice
"""

END_AGAIN = {
    "connection": "it ends only when the fan-out has gone round: all see the message, then the end",
    "hub": "it is where the subscription is removed, and where the others are told that it left",
    "connection_log": "observers are told of the end, then of the item that it is off",
    "lanes": "the news that a member left goes to the others as messages do",
}


def lines(text: str) -> list[str]:
    """Return the moves of a pinned way."""
    return text.strip().splitlines()


def publish_way() -> list[str]:
    """Publish once, as a client of one item does, while somebody listens."""
    stage = Stage()
    alice, _ = stage.join("alice"), stage.join("bob")
    stage.settle()

    def publish() -> None:
        alice.session.received('{"type":"publish","data":1,"key":"k","ref":1}')
        stage.settle()

    moves = moves_of(publish)
    assert len(alice.saw("message", "reply")) == 2
    return moves


def join_way() -> list[str]:
    """Take in a socket and let it join one item, while somebody listens."""
    stage = Stage()
    alice = stage.join("alice")
    stage.settle()
    bob, transport = principal("bob"), RecordingTransport()

    def join() -> None:
        connection = stage.node.connect(bob, JSON, transport)
        ItemSession(stage.node, connection, Grant(bob, ITEM, EVERYTHING)).opened()
        stage.settle()

    moves = moves_of(join)
    assert len(alice.saw("joined")) == len(transport.frames) == 1
    return moves


def end_way() -> list[str]:
    """Send to a client that does not read what is too much for it, while somebody listens."""
    stage = Stage()
    well, stuck = stage.join("well"), stage.join("stuck", room=1)
    text = "x" * (stage.node.limits.outbox_bytes * 2 // 3)
    well.says("publish", data=text)  # one is kept, a second one is too much
    well.session.received(f'{{"type":"publish","data":"{text}"}}')

    moves = moves_of(stage.settle)
    assert stuck.transport.reasons == [SLOW_CONSUMER.reason]
    assert len(well.saw("left")) == 1
    return moves


WAYS = [
    pytest.param(publish_way, PUBLISH, PUBLISH_AGAIN, id="publish"),
    pytest.param(join_way, JOIN, JOIN_AGAIN, id="join"),
    pytest.param(end_way, END, END_AGAIN, id="end"),
]


@pytest.mark.parametrize(("way", "pinned", "again"), WAYS)
def test_goes_one_way_through_the_files(
    way: Callable[[], list[str]], pinned: str, again: dict[str, str]
) -> None:
    """A reader follows it from file to file; one more call back has to be worth its reason."""
    moves = way()

    assert moves == lines(pinned)
    assert called_again(moves) == set(again)
