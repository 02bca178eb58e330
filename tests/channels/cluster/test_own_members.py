"""What a node answers to those who ask for its members: each channel once, a batch at a time."""

from __future__ import annotations

from itemwire.channels.cluster.gossip import ClusterMember, Line, MembersRange, StateSent
from itemwire.channels.cluster.own_members import ANSWERED_AT_ONCE, OwnMembers


def with_members(channels: int, members: int) -> OwnMembers:
    """Have so many members on each of so many channels."""
    own = OwnMembers()
    for channel in range(channels):
        for number in range(members):
            own.add(f"item:{channel}", ClusterMember(f"{channel}-{number:05}", "alice"))
    return own


def batches_of(own: OwnMembers) -> list[list[Line]]:
    """Answer until nothing is left."""
    batches: list[list[Line]] = []
    while own.is_asked:
        batches.append(list(own.pop_answers()))
    return batches


def size_of(batch: list[Line]) -> int:
    """Count what a batch is bounded in."""
    return sum(1 + len(line.members) for line in batch if isinstance(line, MembersRange))


def test_a_long_answer_comes_in_batches_and_is_complete() -> None:
    """A request names hundreds of channels: all of it at once would hold up the event loop."""
    own = with_members(channels=50, members=400)
    own.request("other", 7, [f"item:{channel}" for channel in range(50)])
    batches = batches_of(own)
    ranges = [line for batch in batches for line in batch if isinstance(line, MembersRange)]

    assert len(batches) > 3
    assert max(map(size_of, batches)) < ANSWERED_AT_ONCE + 420  # the last channel is sent whole
    assert sum(len(one.members) for one in ranges) == 50 * 400
    assert batches[-1][-1] == StateSent("other", 7)
    assert [line for batch in batches for line in batch if isinstance(line, StateSent)] == [
        StateSent("other", 7)
    ]


def test_a_short_answer_comes_at_once() -> None:
    """So does that for channels on which nobody is."""
    own = with_members(channels=2, members=3)
    own.request("other", 7, ["item:0", "item:nobody"])

    (batch,) = batches_of(own)
    assert [type(line) for line in batch] == [MembersRange, MembersRange, StateSent]


def test_all_who_ask_meanwhile_get_one_answer() -> None:
    """A channel that was sent before somebody asked for it is sent again for them."""
    own = with_members(channels=50, members=400)
    everything = [f"item:{channel}" for channel in range(50)]
    own.request("one", 1, everything)
    own.request("two", 5, everything)
    first = list(own.pop_answers())
    own.request("three", 9, everything[:2])
    rest = [line for batch in batches_of(own) for line in batch]
    sent = [one.channel for one in [*first, *rest] if isinstance(one, MembersRange)]

    assert {name: sent.count(name) for name in everything} == {
        name: 20 if name in everything[:2] else 10 for name in everything
    }
    assert rest[-3:] == [StateSent("one", 1), StateSent("two", 5), StateSent("three", 9)]


def test_a_sign_of_life_waits_for_no_answer() -> None:
    """Who asks for it waits half a second at most."""
    own = with_members(channels=50, members=400)
    own.request("one", 1, [f"item:{channel}" for channel in range(50)])
    own.sign_to("two")

    assert next(own.pop_answers()) == StateSent("two", 0)


def test_a_member_that_leaves_between_two_batches_is_not_in_the_second() -> None:
    """What was said of it in between would be undone."""
    own = with_members(channels=50, members=400)
    own.request("one", 1, [f"item:{channel}" for channel in range(50)])
    list(own.pop_answers())
    own.remove("item:49", "49-00007")
    rest = [line for batch in batches_of(own) for line in batch]
    last = [one for one in rest if isinstance(one, MembersRange) and one.channel == "item:49"]

    assert sum(len(one.members) for one in last) == 399
