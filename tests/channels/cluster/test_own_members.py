"""What a node answers to those who ask for its members: each channel once, a batch at a time."""

from __future__ import annotations

import msgspec
import pytest

from itemwire.channels.cluster.gossip import ClusterMember, MembersChanged, MembersRange
from itemwire.channels.cluster.own_members import ANSWERED_AT_ONCE, OwnMembers


def with_members(channels: int, members: int) -> OwnMembers:
    """Have so many members on each of so many channels."""
    own = OwnMembers(lambda _channel: 1_000_000)
    for channel in range(channels):
        for number in range(members):
            own.add(f"item:{channel}", ClusterMember(f"{channel}-{number:05}", "alice"))
    return own


def answers_of(own: OwnMembers) -> list[tuple[str, list[MembersRange]]]:
    """Answer a batch, all members of each channel."""
    answers = own.pop_answers(lambda _channel, _number: None)
    return [(channel, one) for channel, one in answers if isinstance(one, list)]


def batches_of(own: OwnMembers) -> list[list[MembersRange]]:
    """Answer until nothing is left."""
    batches: list[list[MembersRange]] = []
    while own.is_asked:
        batches.append([part for _, parts in answers_of(own) for part in parts])
    return batches


def size_of(batch: list[MembersRange]) -> int:
    """Count what a batch is bounded in."""
    return sum(1 + len(part.members) for part in batch)


def test_a_long_answer_comes_in_batches_and_is_complete() -> None:
    """After a break thousands of channels are asked for: all at once would hold up the loop."""
    own = with_members(channels=50, members=400)
    for channel in range(50):
        own.want(f"item:{channel}")
    batches = batches_of(own)

    assert len(batches) > 3
    assert max(map(size_of, batches)) < ANSWERED_AT_ONCE + 420  # the last channel is sent whole
    assert sum(len(part.members) for batch in batches for part in batch) == 50 * 400
    assert {part.channel for batch in batches for part in batch} == {
        f"item:{channel}" for channel in range(50)
    }


def test_a_short_answer_comes_at_once() -> None:
    """So does that for channels on which nobody is."""
    own = with_members(channels=2, members=3)
    own.want("item:0")
    own.want("item:nobody")

    (batch,) = batches_of(own)
    assert [(part.channel, len(part.members)) for part in batch] == [
        ("item:0", 3),
        ("item:nobody", 0),
    ]


def test_all_who_ask_meanwhile_get_one_answer() -> None:
    """A channel that was sent before somebody asked for it is sent again for them."""
    own = with_members(channels=50, members=400)
    everything = [f"item:{channel}" for channel in range(50)]
    for channel in everything * 2:
        own.want(channel)
    first = [channel for channel, _ in answers_of(own)]
    for channel in everything[:2]:
        own.want(channel)
    rest = [part.channel for batch in batches_of(own) for part in batch if not part.after]
    sent = [*first, *rest]

    assert {name: sent.count(name) for name in everything} == {
        name: 2 if name in everything[:2] else 1 for name in everything
    }


def test_a_member_that_leaves_between_two_batches_is_not_in_the_second() -> None:
    """What was said of it in between would be undone."""
    own = with_members(channels=50, members=400)
    for channel in range(50):
        own.want(f"item:{channel}")
    answers_of(own)
    own.remove("item:49", "49-00007")
    rest = [part for batch in batches_of(own) for part in batch]
    last = [part for part in rest if part.channel == "item:49"]

    assert sum(len(part.members) for part in last) == 399


def test_what_a_node_has_nothing_to_do_with_any_more_is_not_answered() -> None:
    """It does not hear the channel by then; others stay asked for."""
    own = with_members(channels=2, members=1)
    own.want("item:0")
    own.want("item:1")
    own.unwant("item:0")

    assert [part.channel for batch in batches_of(own) for part in batch] == ["item:1"]


def test_has_any_member_of_a_channel_until_the_last_one_left() -> None:
    """Nothing is kept of a channel without."""
    own = with_members(channels=1, members=2)
    seen = []
    for number in range(2):
        seen.append(own.has_any("item:0"))
        assert own.name("item:0", f"0-0000{number}").subject == "alice"
        assert own.remove("item:0", f"0-0000{number}")

    assert [*seen, own.has_any("item:0")] == [True, True, False]
    assert not own.remove("item:0", "0-00000")


@pytest.mark.parametrize(
    ("numbers", "asked_for"),
    [
        pytest.param([7], 7, id="one"),
        pytest.param([9, 7, 8], 7, id="the-least-of-several"),
        pytest.param([7, 0], None, id="who-knows-nothing-is-told-all"),
    ],
)
def test_who_missed_a_little_is_told_what_changed(
    numbers: list[int], asked_for: int | None
) -> None:
    """Whom it names is as it is now: there, gone, or one of those that are counted."""
    own = OwnMembers(lambda _channel: 2)
    for name in ("c1", "c2", "c3"):
        own.add("item:0", ClusterMember(name, "alice"))
    asked: list[tuple[str, int]] = []

    def changed_since(channel: str, number: int) -> list[str]:
        asked.append((channel, number))
        return ["c2", "c3", "c9"]

    for number in numbers:
        own.want("item:0", number)
    ((_, answer),) = own.pop_answers(changed_since)

    if asked_for is None:
        assert isinstance(answer, list)
        assert asked == []
    else:
        there = [ClusterMember("c2", "alice")]
        assert answer == MembersChanged("item:0", asked_for, there, ["c3", "c9"], 1)
        assert asked == [("item:0", asked_for)]


@pytest.mark.parametrize(("length", "is_short"), [(2, True), (1000, False)])
def test_members_that_fit_no_line_are_all_told(length: int, *, is_short: bool) -> None:
    """In ranges, as to somebody who knows nothing."""
    own = OwnMembers(lambda _channel: 1_000_000)
    info = msgspec.Raw(b'{"x":"%s"}' % (b"x" * length))
    names = [f"c{number:02}" for number in range(20)]
    for name in names:
        own.add("item:0", ClusterMember(name, "alice", info))
    own.want("item:0", 7)
    ((_, answer),) = own.pop_answers(lambda _channel, _number: names)

    assert isinstance(answer, MembersChanged) is is_short


def test_answers_of_what_changed_share_a_batch_with_others() -> None:
    """Each counts as what it holds, so a batch has a bound."""
    own = with_members(channels=ANSWERED_AT_ONCE, members=1)
    for channel in range(ANSWERED_AT_ONCE):
        own.want(f"item:{channel}", 7)
    batch = list(own.pop_answers(lambda channel, _number: [f"{channel[5:]}-00000"]))

    assert len(batch) == ANSWERED_AT_ONCE / 2
    assert own.is_asked
