"""Members that were cut off stay for the grace time, and leave in order after it."""

from __future__ import annotations

import pytest

from itemwire.channels.presence import grace as module
from itemwire.channels.presence.grace import AwayMembers
from itemwire.messages import Member

ALICE = (None, "alice")
FIRST, SECOND = Member("c1", "alice"), Member("c2", "alice")


def two_absent() -> AwayMembers:
    """Wait for two members of one caller, cut off three seconds apart."""
    waiting = AwayMembers(5)
    waiting.add("item:1", ALICE, FIRST, 100)
    waiting.add("item:1", ALICE, SECOND, 103)
    return waiting


def test_gives_the_one_that_was_cut_off_first() -> None:
    """Its time would be over first: it is the one to be saved."""
    waiting = two_absent()

    assert [waiting.take_over("item:1", ALICE) for _ in range(3)] == [FIRST, SECOND, None]


@pytest.mark.parametrize(
    ("channel", "caller"),
    [
        pytest.param("item:2", ALICE, id="another_item"),
        pytest.param("item:1", (None, "bob"), id="another_subject"),
        pytest.param("item:1", ("issuer", "alice"), id="another_issuer"),
    ],
)
def test_gives_it_to_nobody_else(channel: str, caller: tuple[str | None, str]) -> None:
    """A subject is unique within its issuer only; to be taken for another is never right."""
    assert two_absent().take_over(channel, caller) is None


@pytest.mark.parametrize(
    ("now", "over"),
    [
        pytest.param(104.9, [], id="in_time"),
        pytest.param(105, [FIRST], id="the_first"),
        pytest.param(108, [FIRST, SECOND], id="both"),
        pytest.param(99, [], id="set_back_a_little"),
        pytest.param(-3500, [FIRST, SECOND], id="set_back_an_hour"),
    ],
)
def test_waits_for_the_grace_time_and_no_longer(now: float, over: list[Member]) -> None:
    """Also where the clock is set back meanwhile."""
    waiting = two_absent()

    assert [member for _, member in waiting.pop_expired(now)] == over
    assert waiting.pop_expired(now) == []


def test_forgets_everything_of_who_came_back_or_did_not() -> None:
    """Nothing is left of either (requirement 99)."""
    waiting = two_absent()
    waiting.take_over("item:1", ALICE)
    waiting.pop_expired(200)

    assert (waiting._absences, waiting._by_caller) == ({}, {})


def test_waits_for_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone who cuts off many connections must not fill the memory with them."""
    monkeypatch.setattr(module, "MAX_AWAY", 2)
    waiting = two_absent()
    had_room = waiting.has_room
    waiting.take_over("item:1", ALICE)

    assert (had_room, waiting.has_room) == (False, True)


def test_waits_for_nobody_without_a_grace_time() -> None:
    """0 is none."""
    assert not AwayMembers(0).has_room
