"""What is known of another node: current, stale or requested, and when it expires."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.gossip import NAMES_BYTES_A_LINE, ClusterMember
from itemwire.channels.cluster.peer import (
    ANSWER_TICKS,
    AWAY_TICKS,
    DEAD_TICKS,
    MOST_LATE,
    SILENT_TICKS,
    Peer,
    Place,
)
from tests.fakes import CHANNEL

ALICE = ClusterMember("c1", "alice")


def requested(*channels: str) -> Peer:
    """Make a peer that was asked for these channels, by request 1."""
    peer = Peer(0)
    peer.mark_stale(channels, is_missed=False)
    assert peer.request(1) == channels
    return peer


def test_what_was_answered_is_current() -> None:
    """And only that: what became stale meanwhile is asked for next."""
    peer = requested("a", "b")
    peer.mark_stale(["c"], is_missed=False)

    peer.mark_current()

    assert (list(peer.stale), peer.requested) == (["c"], ())


def test_an_answer_that_was_begun_before_a_miss_does_not_count() -> None:
    """It may lack what was missed; so its number is no longer waited for."""
    peer = requested("a")
    peer.mark_stale(["a"], is_missed=True)

    assert (list(peer.stale), peer.requested, peer.request_number) == (["a"], (), 0)


def test_a_request_without_an_answer_is_made_again() -> None:
    """It may have been lost, or its answer was."""
    peer = requested("a")
    waiting = []
    for _ in range(ANSWER_TICKS):
        waiting.append(peer.requested)
        peer.tick()

    assert waiting == [("a",)] * ANSWER_TICKS
    assert peer.requested == ()
    assert peer.request(2) == ("a",)


@pytest.mark.parametrize(
    ("name", "count"),
    [("item:{:06}", 1490), ("item:{:0500}", 33), ("ü" * 100 + "{:06}", 80)],
)
def test_as_many_channels_are_asked_for_as_fit_a_line(name: str, count: int) -> None:
    """80 at a time, 20,000 items took 29 seconds to be heard of; long names must fit a notice."""
    peer = Peer(0)
    channels = [name.format(number) for number in range(2 * count)]
    peer.mark_stale(channels, is_missed=False)
    first = peer.request(1)
    peer.mark_current()

    assert [*first, *peer.request(2)] == channels
    assert len(first) == count
    assert sum(len(one.encode()) for one in first[:-1]) < NAMES_BYTES_A_LINE


@pytest.mark.parametrize(("ticks", "is_gone"), [(DEAD_TICKS - 1, False), (DEAD_TICKS, True)])
def test_a_silent_node_is_given_up(ticks: int, is_gone: bool) -> None:
    """Not before three signs of life are missing."""
    peer = Peer(0)

    assert [peer.tick() for _ in range(ticks)][-1] is is_gone


def test_a_stopping_node_is_asked_for_nothing_and_kept_for_its_time() -> None:
    """Nobody is left there to answer; heard again, it is a node like any other."""
    peer = requested("a")
    peer.mark_stopping(2)
    peer.mark_stale(["a"], is_missed=True)
    assert (peer.stale, peer.requested) == ({}, ())
    assert [peer.tick(), peer.tick()] == [False, True]

    peer.mark_running()
    peer.silent_ticks = 0
    peer.mark_stale(["a"], is_missed=True)

    assert list(peer.stale) == ["a"]
    assert not peer.tick()


def test_keeps_nothing_of_members_that_left() -> None:
    """Not even an empty entry of their channel (requirement 99)."""
    peer = Peer(0)
    assert peer.add_member("a", ALICE)
    assert peer.add_member("a", ALICE)

    assert peer.remove_member("a", "c2") is None
    assert peer.remove_member("a", "c1") == ALICE
    assert peer.remove_member("a", "c1") is None
    assert (peer.members, peer._member_count) == ({}, 0)


def test_a_member_is_stored_once_and_room_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is of members: one that is told of again takes no more room."""
    monkeypatch.setattr("itemwire.channels.cluster.peer.MAX_MEMBERS", 2)
    peer = Peer(1)
    one, two, three = (ClusterMember(f"c{number}", "a") for number in range(3))
    stored = [peer.add_member(CHANNEL, it) for it in (one, two, one, three)]
    removed = [peer.remove_member(CHANNEL, it) for it in ("c0", "c0", "none")]

    assert stored == [True, True, True, False]
    assert removed == [one, None, None]
    assert peer.remove_member("item:other", "c1") is None
    assert peer.add_member(CHANNEL, three)
    assert not peer.add_member("item:other", one)
    assert peer.members[CHANNEL] == {"c1": two, "c2": three}


def test_a_request_waits_three_ticks_and_no_more() -> None:
    """Each request anew: the ticks of one before it do not count."""
    peer = Peer(1)
    peer.mark_stale(["x"], is_missed=False)
    for number in (5, 6):
        assert peer.request(number) == ("x",)
        assert peer.request_number == number
        open_after = []
        for _ in range(3):
            peer.tick()
            open_after.append(bool(peer.requested))
        assert open_after == [True, True, False]
        assert peer.request_number == 0
    peer.request(7)
    peer.tick()
    peer.mark_current()
    peer.mark_stale(["y"], is_missed=False)
    peer.request(8)
    peer.tick()
    peer.tick()
    assert peer.requested == ("y",)


@pytest.mark.parametrize(("is_missed", "is_open"), [(True, False), (False, True)])
def test_only_what_was_missed_makes_an_open_request_void(is_missed: bool, is_open: bool) -> None:
    """A channel that is new here is asked for with the next request."""
    peer = Peer(1)
    peer.mark_stale(["x"], is_missed=False)
    peer.request(1)
    peer.mark_stale(["y"], is_missed=is_missed)

    assert bool(peer.requested) is is_open
    assert list(peer.stale) == ["x", "y"]


def test_a_node_that_said_it_stops_and_goes_on_is_as_before() -> None:
    """Anybody on the bus can forge a farewell."""
    peer = Peer(1)
    peer.mark_stopping(2)
    peer.mark_stale(["x"], is_missed=True)
    ignored = list(peer.stale)
    gone = [peer.tick(), peer.tick()]
    peer.mark_running()
    peer.mark_stale(["x"], is_missed=True)

    assert (ignored, gone, list(peer.stale)) == ([], [False, True], ["x"])
    assert not peer.is_stopping
    assert peer.max_silent_ticks == DEAD_TICKS


def heard(*messages: tuple[int, int]) -> Place:
    """Hear messages on a channel, by their number and that of the one before."""
    place = Place()
    for number, previous in messages:
        place.advance(number, previous)
    return place


@pytest.mark.parametrize(
    ("messages", "is_stale"),
    [
        pytest.param([(5, 0)], False, id="begun"),
        pytest.param([(5, 0), (9, 5)], False, id="one-after-the-other"),
        pytest.param([(5, 0), (12, 9)], True, id="one-was-missed"),
        pytest.param([(12, 9)], True, id="begun-before"),
        pytest.param([(5, 0), (12, 9), (13, 12)], True, id="and-is-still-missed"),
        pytest.param([(5, 0), (12, 9), (13, 0)], False, id="begun-anew"),
    ],
)
def test_a_number_tells_whether_something_was_missed_before_it(
    messages: list[tuple[int, int]], is_stale: bool
) -> None:
    """With 0 nothing can be: its node has no member there but those that it names."""
    place = heard(*messages)

    assert (place.is_stale, place.last) == (is_stale, messages[-1][0])


@pytest.mark.parametrize(
    ("afters", "is_missed_between", "is_stale"),
    [
        pytest.param(["", "c1", "c2"], False, False, id="all-ranges"),
        pytest.param(["c1", "c2"], False, True, id="not-the-first"),
        pytest.param(["", "c1"], True, True, id="a-hole-in-between"),
        pytest.param([], False, True, id="no-range"),
    ],
)
def test_all_ranges_without_a_hole_make_it_right_again(
    afters: list[str], is_missed_between: bool, is_stale: bool
) -> None:
    """The last word alone does not: the ranges before it may have been missed."""
    place = heard((12, 9))
    for number, after in enumerate(afters, 13):
        if number > 13 and is_missed_between:
            place.advance(number + 50, number + 40)
        place.note_part(after)
    place.note_all_told()

    assert place.is_stale is is_stale


@pytest.mark.parametrize(
    ("since", "is_stale", "known"),
    [(4, False, 13), (5, False, 13), (6, True, 5)],
)
def test_who_came_and_left_since_the_last_number_that_is_known_makes_it_right(
    since: int, *, is_stale: bool, known: int
) -> None:
    """Up to that one nothing was missed; from a later number on, something may lack."""
    place = heard((5, 0), (12, 9), (13, 12))
    before = place.known
    place.note_changes(since)

    assert before == 5
    assert (place.is_stale, place.known) == (is_stale, known)


def test_what_is_doubted_is_known_no_more() -> None:
    """All has to be told again: what changed since is not enough."""
    place = heard((5, 0))
    place.doubt()
    place.note_changes(5)

    assert place.is_stale
    assert place.known == 0


def test_all_ranges_make_a_place_known_up_to_there() -> None:
    """So does a message that begins anew."""
    told, anew = heard((5, 0), (12, 9)), heard((5, 0), (12, 9), (13, 0))
    told.note_part("")
    told.note_all_told()

    assert (told.known, anew.known) == (12, 13)


def test_an_absent_member_is_no_longer_to_be_taken_over_after_a_time() -> None:
    """Who does not hear the item is not told when its grace time is over."""
    peer = Peer(0)
    peer.add_away("a", (None, "alice"), ALICE.shown)
    for _ in range(AWAY_TICKS - 1):
        peer.tick()
    before = peer.away.has("a", "c1")
    peer.tick()

    assert (before, peer.away.has("a", "c1")) == (True, False)


def test_what_was_heard_before_is_no_news() -> None:
    """Unless nothing else comes: then the high number was a forged one."""
    place = heard((5, 0))
    known = [place.is_late(number) for number in (4, 5, 6)]
    again = [place.is_late(1) for _ in range(MOST_LATE + 1)]

    assert known == [True, True, False]
    assert place.known == 0
    assert again == [True] * MOST_LATE + [False]


@pytest.mark.parametrize(
    ("previous", "has_lines", "is_there"), [(0, False, False), (0, True, True), (4, False, True)]
)
def test_a_node_is_on_a_channel_if_it_has_said_something_there(
    previous: int, has_lines: bool, is_there: bool
) -> None:
    """One that only answers that it has nobody is waited for by nobody."""
    place = Place()
    place.advance(5, previous, has_lines=has_lines)

    assert place.is_there is is_there


@pytest.mark.parametrize("is_stopping", [False, True])
def test_a_peer_is_silent_from_the_tick_on_at_which_its_sign_is_overdue(
    *, is_stopping: bool
) -> None:
    """One that said that it stops owes none."""
    peer = Peer(0)
    if is_stopping:
        peer.mark_stopping(DEAD_TICKS)
    silent = []
    for _ in range(SILENT_TICKS):
        silent.append(peer.is_silent)
        peer.tick()

    assert silent == [False] * SILENT_TICKS
    assert peer.is_silent is not is_stopping
