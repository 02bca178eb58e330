"""What was published before a caller had a right reaches it by history or by proof alone (130).

Each way in is tried with each proof: an item's socket, a join at `/ws`, and a stream of events.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final, NamedTuple

import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import TALKING, Envelope, json_client, many_client, token
from tests.scenarios.event_source import event_source

LISTENING: Final = "items:subscribe"
READING: Final = "items:subscribe items:history"

Outcome = tuple[Envelope, list[object]]
"""The welcome, and the data of what followed it until the message that came live."""

LIVE: Final = map("live {}".format, count(1))
"""What is published once a client is there: never the same twice."""

Come = Callable[[LiveServer, str, str, str, str | None], Outcome]
"""Joins an item as a subject with a scope, after a position if one is given."""


def hear(server: LiveServer, item_id: str, read: Callable[[], Envelope]) -> list[object]:
    """Publish a message to a client that is there, and read all messages up to that one."""
    live = next(LIVE)
    publish(server, item_id, live)
    found: list[object] = []
    while live not in found:
        envelope = read()
        if envelope["type"] == "message":
            found.append(envelope["data"])
    return found


def publish(server: LiveServer, item_id: str, *data: object) -> Envelope:
    """Publish as somebody else; return the welcome that came before."""
    with json_client(server, item_id, "bob", scope=TALKING) as bob:
        for one in data:
            bob.ask("publish", data=one)
        return bob.welcome


def by_item(
    server: LiveServer, item_id: str, subject: str, scope: str, since: str | None
) -> Outcome:
    """Come by the item's own socket."""
    with json_client(server, item_id, subject, scope=scope, since=since) as client:
        return client.welcome, hear(server, item_id, client.read)


def by_join(
    server: LiveServer, item_id: str, subject: str, scope: str, since: str | None
) -> Outcome:
    """Come by a socket of many items."""
    fields = {} if since is None else {"since": since}
    with many_client(server, token(subject, scope)) as client:
        welcome = client.ask("join", item=item_id, **fields)
        return welcome, hear(server, item_id, client.read)


def by_events(
    server: LiveServer, item_id: str, subject: str, scope: str, since: str | None
) -> Outcome:
    """Come by a stream of events, as a browser comes back."""
    headers = {} if since is None else {"Last-Event-ID": since}
    credential = token(subject, scope)
    with event_source(server, item_id, credential=credential, headers=headers) as client:
        welcome = client.read().envelope
        return welcome, hear(server, item_id, lambda: client.read().envelope)


WAYS = pytest.mark.parametrize(
    "come",
    [
        pytest.param(by_item, id="item"),
        pytest.param(by_join, id="join"),
        pytest.param(by_events, id="events"),
    ],
)


def epoch_of(resume: str) -> str:
    """Return the epoch that a `resume` begins with."""
    return resume.partition(".")[0]


def with_first(resume: str, first: int) -> str:
    """Return a `resume` that claims another first offset."""
    epoch, _, mac = resume.split(".")
    return f"{epoch}.{first}.{mac}"


def forged(resume: str) -> str:
    """Return a `resume` with another signature."""
    head, _, mac = resume.rpartition(".")
    return f"{head}.{mac[::-1]}"


class Case(NamedTuple):
    """Who comes back with which position, written of a `resume` of its own and of another item."""

    since: Callable[[str, str], str]
    recovered: bool
    scope: str = LISTENING
    subject: str = "carol"


@WAYS
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(lambda own, _: f"{own}:3", True), id="proof"),
        pytest.param(Case(lambda own, _: f"{own}:2", True), id="proof-from-first"),
        pytest.param(Case(lambda own, _: f"{epoch_of(own)}:3", True, READING), id="history"),
        pytest.param(
            Case(lambda own, _: f"{own}:3", True, READING, "dave"), id="history-and-anothers-proof"
        ),
        pytest.param(Case(lambda own, _: f"{epoch_of(own)}:3", False), id="neither"),
        pytest.param(
            Case(lambda own, _: f"{own}:3", False, LISTENING, "dave"), id="anothers-proof"
        ),
        pytest.param(Case(lambda _, other: f"{other}:3", False), id="proof-of-another-item"),
        pytest.param(
            Case(lambda own, _: f"x.{own.partition('.')[2]}:3", False), id="proof-of-another-epoch"
        ),
        pytest.param(Case(lambda own, _: f"{own}:1", False), id="an-offset-before"),
        pytest.param(Case(lambda own, _: f"{with_first(own, 0)}:1", False), id="first-changed"),
        pytest.param(Case(lambda own, _: f"{forged(own)}:3", False), id="forged"),
    ],
)
def test_resumes_by_the_right_to_history_or_by_proof(
    server: LiveServer, item_id: str, come: Come, case: Case
) -> None:
    """All that was missed, or `recovered: false` and nothing of it."""
    publish(server, item_id, 1, 2)
    own, heard = come(server, item_id, "carol", LISTENING, None)  # hears the third message
    other, _ = come(server, f"{item_id}:other", "carol", LISTENING, None)
    publish(server, item_id, "missed")
    since = case.since(own["resume"], other["resume"])
    welcome, found = come(server, item_id, case.subject, case.scope, since)

    expected = ["missed"] if since.endswith(":3") else [*heard, "missed"]
    assert len(heard) == 1
    assert (welcome["was_recovering"], welcome["recovered"]) == (True, case.recovered)
    assert found[:-1] == (expected if case.recovered else [])


@WAYS
def test_fifty_older_messages_reach_nobody_without_the_right(
    server: LiveServer, item_id: str, come: Come
) -> None:
    """As it was attacked: `since=<epoch>:50` delivered a hundred older messages."""
    epoch = publish(server, item_id, *range(60))["epoch"]
    welcome, found = come(server, item_id, "mallory", LISTENING, f"{epoch}:50")
    allowed, all_found = come(server, item_id, "mallory", READING, f"{epoch}:50")

    assert (welcome["recovered"], len(found)) == (False, 1)
    assert (allowed["recovered"], all_found[:-1]) == (True, [*range(50, 60), *found])


@WAYS
def test_keeps_the_first_offset_over_any_number_of_resumes(
    server: LiveServer, item_id: str, come: Come
) -> None:
    """A client that was there stays one that was there, from where it first heard."""
    publish(server, item_id, 1, 2)
    resume = come(server, item_id, "carol", LISTENING, None)[0]["resume"]
    again = come(server, item_id, "carol", LISTENING, f"{resume}:3")[0]["resume"]
    anew = come(server, item_id, "carol", LISTENING, None)[0]["resume"]

    assert again == resume
    assert anew.split(".")[1] == "4"


def test_every_id_of_a_stream_is_a_proof(server: LiveServer, item_id: str) -> None:
    """A browser sends back the last id alone; what all streams share has no part in it."""
    publish(server, item_id, "older")
    with (
        event_source(server, item_id, credential=token("carol", LISTENING)) as carol,
        event_source(server, item_id, credential=token("dave", LISTENING)) as dave,
    ):
        own = carol.read().envelope["resume"]
        others = dave.read().envelope["resume"]
        publish(server, item_id, f"\nid: {epoch_of(own)}:7", f"id: {epoch_of(own)}:7")
        heard, overheard = carol.messages(2), dave.messages(2)

    assert [one.id for one in heard] == [f"{own}:2", f"{own}:3"]
    assert [one.id for one in overheard] == [f"{others}:2", f"{others}:3"]
    assert [one.data for one in heard] == [one.data for one in overheard]
    assert own != others
