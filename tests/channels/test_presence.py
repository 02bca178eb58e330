"""Who is on which channel."""

from __future__ import annotations

from api.channels.presence import Presence
from api.messages import Member

ALICE = Member("c1", "alice")
ALICE_AGAIN = Member("c2", "alice")
BOB = Member("c3", "bob")


def test_lists_members_in_the_order_they_came() -> None:
    """Two who ask get the same list."""
    presence = Presence()
    for member in (BOB, ALICE):
        presence.join("item:1", member)

    assert presence.members("item:1") == [BOB, ALICE]


def test_lists_every_connection_of_one_subject() -> None:
    """A user with two tabs is there until the second one closes."""
    presence = Presence()
    presence.join("item:1", ALICE)
    presence.join("item:1", ALICE_AGAIN)

    assert presence.leave("item:1", ALICE)
    assert presence.members("item:1") == [ALICE_AGAIN]


def test_counts_a_member_that_joins_twice_once() -> None:
    """A connection is on a channel or it is not."""
    presence = Presence()
    presence.join("item:1", ALICE)
    presence.join("item:1", ALICE)

    assert presence.leave("item:1", ALICE)
    assert presence.members("item:1") == []


def test_says_that_a_member_was_not_there() -> None:
    """Others must not be told that someone left who never came."""
    presence = Presence()
    presence.join("item:1", ALICE)

    assert not presence.leave("item:1", BOB)
    assert not presence.leave("item:2", ALICE)
    assert presence.leave("item:1", ALICE)
    assert not presence.leave("item:1", ALICE)


def test_keeps_channels_apart() -> None:
    """One item's members are nobody's business on another."""
    presence = Presence()
    presence.join("item:1", ALICE)
    presence.join("item:2", BOB)

    assert presence.members("item:1") == [ALICE]
    assert presence.members("item:3") == []


def test_gives_a_list_that_no_later_change_reaches() -> None:
    """An answer that waits for a slow client must stay the answer to its question."""
    presence = Presence()
    presence.join("item:1", ALICE)
    members = presence.members("item:1")

    presence.join("item:1", BOB)

    assert members == [ALICE]
