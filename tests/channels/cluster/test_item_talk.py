"""What is told on each channel: numbered, in batches, and forgotten in the end."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.gossip import (
    NOTICE_BYTES,
    ClusterMember,
    ItemWords,
    MemberJoined,
    MemberLeft,
    MembersAsked,
    MembersCounted,
    ToldLine,
)
from itemwire.channels.cluster.item_talk import AT_ONCE, ItemTalk
from itemwire.channels.cluster.reminders import FORGET_TICKS, WAITS


class Desk:
    """The talk of a node, and what it told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ItemWords]] = []
        self.kept: set[str] = set()
        self.shared: set[str] = set()
        self.talk = ItemTalk(
            "me",
            lambda channel, told: self.told.append((channel, told)),
            is_kept=self.kept.__contains__,
            is_shared=self.shared.__contains__,
        )

    def flush(self) -> list[str]:
        """Tell a batch."""
        return self.talk.flush(lambda channel: MembersAsked({"you": len(channel)}))

    def numbers(self, channel: str) -> list[tuple[int, int]]:
        """List the numbers that were told on a channel, and those before them."""
        return [(told.number, told.previous) for on, told in self.told if on == channel]


def test_each_message_names_the_one_before_it_on_its_channel() -> None:
    """The numbers of all channels grow together; the first of each names none."""
    desk = Desk()
    desk.kept |= {"x", "y"}
    for channel in ("x", "y", "x", "x", "y"):
        desk.talk.add(channel, MemberLeft(channel, "c1"))
        desk.flush()

    assert desk.numbers("x") == [(1, 0), (3, 1), (4, 3)]
    assert desk.numbers("y") == [(2, 0), (5, 2)]


def test_a_question_goes_with_what_is_told_anyway_and_before_it() -> None:
    """It tells what is known already."""
    desk = Desk()
    desk.kept.add("x")
    desk.talk.ask("x")
    desk.talk.add("x", MemberLeft("x", "c1"))

    assert desk.flush() == ["x"]
    ((_, told),) = desk.told
    assert told.lines == [MembersAsked({"you": 1}), MemberLeft("x", "c1")]


def test_so_many_questions_are_in_a_batch_and_one_that_is_hastened_is_in_the_next() -> None:
    """After a break there are thousands."""
    desk = Desk()
    channels = [f"x{number}" for number in range(2 * AT_ONCE + 5)]
    desk.kept |= set(channels)
    for channel in channels:
        desk.talk.ask(channel)
    desk.talk.hasten(channels[-1])
    desk.talk.hasten("nobody-asks")
    batches = []
    while desk.talk.has_more:
        batches.append(desk.flush())

    assert batches[0][0] == channels[-1]
    assert [len(batch) for batch in batches] == [AT_ONCE + 1, AT_ONCE, 4]
    assert sorted(one for batch in batches for one in batch) == sorted(channels)


def test_what_is_too_long_is_told_in_parts_with_numbers_of_their_own() -> None:
    """An engine carries no more at once."""
    desk = Desk()
    desk.kept.add("x")
    desk.talk.add("x", *[MemberLeft("x", "c" * 1000)] * 50)
    desk.flush()

    assert desk.numbers("x") == [(1, 0), (2, 1), (3, 2)]
    assert all(len(told.encoded()) < NOTICE_BYTES + 2000 for _, told in desk.told)


def test_a_node_that_has_no_part_in_a_channel_any_more_begins_anew_and_forgets_it() -> None:
    """It will answer no question: what it says last needs nothing from before."""
    desk = Desk()
    desk.kept.add("x")
    desk.talk.ask("x")
    desk.flush()
    desk.kept.clear()
    desk.talk.add("x", MemberLeft("x", "c1"))
    desk.flush()
    desk.talk.forget("x")
    for _ in range(2 + FORGET_TICKS):
        desk.talk.tick()
        desk.flush()

    assert desk.numbers("x") == [(1, 0), (2, 0), (3, 0)]
    assert (desk.talk._last, desk.talk._changed, desk.talk._shared) == ({}, {}, set())


def test_where_others_were_heard_it_is_told_again_more_often_even_after_it_was_left() -> None:
    """That the last member left matters to them most of all."""
    desk = Desk()
    desk.kept.add("x")
    desk.shared.add("x")
    desk.talk.ask("x")
    desk.flush()
    desk.kept.clear()
    desk.shared.clear()
    desk.talk.add("x", MemberLeft("x", "c1"))
    desk.flush()
    for _ in range(30):
        desk.talk.tick()
        desk.flush()

    assert len(desk.numbers("x")) == 2 + 4
    assert desk.talk._last == {}


def test_who_has_nothing_on_a_channel_says_so_once_and_keeps_nothing() -> None:
    """Whoever seeks its members waits for each node; a channel that is kept is answered for."""
    desk = Desk()
    desk.kept.add("y")
    for channel in ("x", "y"):
        desk.talk.deny(channel)
    while desk.talk.has_more:
        desk.flush()
    for _ in range(30):
        desk.talk.tick()
        desk.flush()

    assert [(on, told.previous, told.lines) for on, told in desk.told] == [("x", 0, [])]
    assert desk.talk._last == {}


def test_what_failed_is_told_again_from_the_first_wait_on() -> None:
    """And where nothing was told nothing failed."""
    desk = Desk()
    desk.kept.add("x")
    desk.talk.ask("x")
    desk.flush()
    for _ in range(3):
        desk.talk.tick()
        desk.flush()
    before = len(desk.told)
    desk.talk.note_failure("x")
    desk.talk.note_failure("y")
    desk.talk.tick()
    desk.flush()

    assert len(desk.told) == before + 1
    assert "y" not in desk.talk._last


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(MemberJoined("x", ClusterMember("c1", "alice")), id="came"),
        pytest.param(MemberLeft("x", "c1"), id="left"),
        pytest.param(MembersCounted("x", 7), id="counted"),
    ],
)
def test_who_has_heard_of_the_last_that_came_or_left_knows_all(line: ToldLine) -> None:
    """Questions and reminders after that change nothing, so nobody has to be told again."""
    desk = Desk()
    desk.kept.add("x")
    before = [desk.talk.knows_all("x", number) for number in (None, 0)]
    desk.talk.add("x", line)
    desk.flush()
    for _ in range(3):
        desk.talk.ask("x")
        desk.flush()

    assert before == [False, True]
    assert [desk.talk.knows_all("x", number) for number in (None, 0, 1, 3, 9)] == [
        False,
        False,
        True,
        True,
        True,
    ]


def changes(desk: Desk, *lines: ToldLine) -> None:
    """Tell lines on the channel "x", each with the next number."""
    for line in lines:
        desk.talk.add("x", line)
        desk.flush()


CAME = MemberJoined("x", ClusterMember("c1", "alice"))
GONE = MemberLeft("x", "c2")
COUNTED = MembersCounted("x", 7)


@pytest.mark.parametrize(
    ("number", "changed"),
    [
        pytest.param(1, None, id="before-others-were-there"),
        pytest.param(2, {"c1", "c2"}, id="from-the-last-change-before-that-on"),
        pytest.param(3, {"c2"}, id="after-one"),
        pytest.param(4, set(), id="only-the-number-of-members"),
        pytest.param(5, set(), id="nothing"),
    ],
)
def test_lists_who_came_or_left_since_a_number_on_a_channel_that_others_hear(
    number: int, changed: set[str] | None
) -> None:
    """Where nobody else is, nothing is remembered."""
    desk = Desk()
    desk.kept.add("x")
    changes(desk, CAME, CAME)
    desk.shared.add("x")
    changes(desk, CAME, GONE, COUNTED)

    assert desk.talk.changed_since("x", number) == changed


def test_who_comes_with_the_next_batch_is_listed_too() -> None:
    """The answer stands for what is told before it, which may be missed."""
    desk = Desk()
    desk.kept.add("x")
    changes(desk, CAME)
    desk.talk.add("x", GONE, COUNTED)

    assert desk.talk.changed_since("x", 1) == {"c2"}
    assert desk.talk.changed_since("y", 1) is None


def test_nobody_is_listed_of_a_channel_that_was_forgotten() -> None:
    """A number of before says nothing about who is there now: all members have to be told."""
    desk = Desk()
    desk.kept.add("x")
    desk.shared.add("x")
    changes(desk, CAME, CAME)
    before = desk.talk.changed_since("x", 1)
    desk.kept.clear()
    desk.talk.forget("x")
    for _ in range(FORGET_TICKS + sum(WAITS)):
        desk.talk.tick()
        desk.flush()
    desk.kept.add("x")
    since = [desk.talk.changed_since("x", 2)]
    changes(desk, GONE)

    assert before == {"c1"}
    assert [*since, desk.talk.changed_since("x", 2)] == [None, None]


def test_a_channel_that_was_quiet_for_long_is_forgotten_once_it_is_left() -> None:
    """Its number was told often enough, so nothing else would end what is kept of it."""
    desk = Desk()
    desk.kept.add("x")
    changes(desk, CAME)
    for _ in range(2 * FORGET_TICKS):
        desk.talk.tick()
        desk.flush()
    before = set(desk.talk._last)
    desk.kept.clear()
    desk.talk.forget("x")
    for _ in range(FORGET_TICKS):
        desk.talk.tick()

    assert before == {"x"}
    assert (desk.talk._last, desk.talk._changed) == ({}, {})
