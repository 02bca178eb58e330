"""What a node delivers of one channel: in order, once, and every hole reported."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.engines import stream_follower
from itemwire.engines.stream_follower import StreamFollower
from itemwire.messages import Position
from tests.fakes import CHANNEL


class Followed(StreamFollower[str]):
    """A following whose deliveries and losses are one list, in their order."""

    def __init__(self) -> None:
        self.log: list[str | Position] = []
        super().__init__(
            CHANNEL,
            lambda _, message: self.log.append(message),
            lambda _, position: self.log.append(position),
        )

    def get(self, *offsets: int, epoch: str = "e") -> None:
        """Be offered live messages."""
        for offset in offsets:
            self.receive(epoch, offset, f"{epoch}{offset}")

    def read(self, last: int, *offsets: int, epoch: str = "e", is_cut: bool = False) -> None:
        """Be given what a read has found."""
        found = [(offset, f"{epoch}{offset}") for offset in offsets]
        self.fill(Position(epoch, last), found, is_cut=is_cut)


def followed_from(offset: int = 0) -> Followed:
    """Follow a channel that stood at an offset."""
    made = Followed()
    made.read(offset)
    return made


def test_begins_where_the_channel_stands() -> None:
    """What was before is history, which a client reads if it wants to."""
    one = Followed()
    before = (one.position, one.is_behind)
    one.read(7)
    one.get(8)

    assert before == (None, True)
    assert one.log == ["e8"]
    assert (one.position, one.is_behind) == (Position("e", 8), False)


def test_delivers_what_came_before_it_knew_where_to_begin() -> None:
    """It listens before it asks: what is sent in between is beyond the answer."""
    one = Followed()
    one.get(7, 8, 9)
    one.read(7)

    assert one.log == ["e8", "e9"]
    assert not one.is_behind


def test_delivers_a_message_once_however_often_it_comes() -> None:
    """By pub/sub, as the answer to its publisher, and by a read."""
    one = followed_from()
    one.get(1, 1, 2, 1)
    one.read(2, 1, 2)
    one.get(2, 3)

    assert one.log == ["e1", "e2", "e3"]


def test_holds_what_is_beyond_a_hole_until_the_hole_is_filled() -> None:
    """The late one may come by itself, or be read."""
    one, other = followed_from(), followed_from()
    for each in (one, other):
        each.get(1, 3, 4)
        assert each.log == ["e1"]
        assert each.is_behind
    one.get(2)
    other.read(3, 2, 3)

    assert one.log == other.log == ["e1", "e2", "e3", "e4"]
    assert not one.is_behind
    assert not other.is_behind


def test_says_what_a_read_no_longer_finds() -> None:
    """Forgotten at the beginning, in the middle or at the end: never a hole in silence."""
    beginning, end = followed_from(3), followed_from(3)
    beginning.read(9, 7, 8, 9)
    end.read(9, 4)

    assert beginning.log == [Position("e", 6), "e7", "e8", "e9"]
    assert end.log == ["e4", Position("e", 9)]
    assert not end.is_behind


def test_reads_on_when_a_read_was_cut_short() -> None:
    """What did not fit into one answer is not lost."""
    one = followed_from()
    one.read(4, 1, 2, is_cut=True)
    was_behind = one.is_behind
    one.read(4, 3, 4)

    assert was_behind
    assert one.log == ["e1", "e2", "e3", "e4"]


def test_says_that_another_epoch_has_begun_and_goes_on_in_it() -> None:
    """The store was lost: nothing of the old count means anything now (requirement 113)."""
    one = followed_from(5)
    one.get(1, 2, 3, epoch="new")
    assert one.log == []
    assert one.is_behind
    one.read(2, 1, 2, epoch="new")

    assert one.log == [Position("new", 0), "new1", "new2", "new3"]
    assert not one.is_behind


def test_loses_no_more_of_another_epoch_than_it_has_not_heard() -> None:
    """It hears of the new count before it has read that the old one is over."""
    one = followed_from(5)
    one.get(1, 3, 4, epoch="new")
    one.read(3, epoch="new")

    assert one.log == [Position("new", 2), "new3", "new4"]
    assert not one.is_behind


def test_forgets_what_it_held_of_an_epoch_that_is_over() -> None:
    """Else it would look for the hole in front of it for ever."""
    one = followed_from(5)
    one.get(8)
    one.read(0, epoch="new")
    one.get(1, epoch="new")

    assert one.log == [Position("new", 0), "new1"]
    assert not one.is_behind


def test_is_behind_when_it_is_told_so_until_the_next_read() -> None:
    """A connection that was cut may have lost the last message of all."""
    one = followed_from(1)
    one.mark_stale()
    one.get(2)
    was_behind = one.is_behind
    one.read(3, 3)

    assert was_behind
    assert one.log == ["e2", "e3"]
    assert not one.is_behind


def test_holds_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: what did not fit is read again."""
    monkeypatch.setattr(stream_follower, "MAX_HELD", 4)
    one = followed_from()
    one.get(*range(2, 7))  # one too many, with which all are let go
    was_behind = one.is_behind
    one.get(*range(7, 50))
    held = len(one._held)
    one.read(49, *range(1, 50))

    assert was_behind
    assert held <= 4
    assert one.log == [f"e{offset}" for offset in range(1, 50)]


def test_tells_when_a_position_is_reached() -> None:
    """What was read is answered once it has been delivered: nothing comes twice after it."""
    one = followed_from(1)
    reached: list[str] = []
    for name, offset in (("now", 1), ("soon", 3), ("later", 9)):
        one.call_at(Position("e", offset), lambda name=name: reached.append(name))  # type: ignore[misc] # a default is how a loop's lambda keeps its value
    first, was_behind = list(reached), one.is_behind
    one.get(2, 3)
    second = list(reached)
    one.leave()

    assert (first, was_behind) == (["now"], True)
    assert second == ["now", "soon"]
    assert reached == ["now", "soon", "later"]


def test_is_behind_as_long_as_somebody_waits() -> None:
    """What was read may be older than what is waited for."""
    one = followed_from(1)
    reached: list[None] = []
    one.call_at(Position("e", 5), lambda: reached.append(None))
    one.read(3, 2, 3)
    was_behind = one.is_behind
    one.read(5, 4, 5)

    assert was_behind
    assert reached == [None]
    assert not one.is_behind


def test_tells_that_a_position_of_an_epoch_that_is_over_is_not_waited_for() -> None:
    """It will never be reached, and what was read is still an answer."""
    one = followed_from(1)
    reached: list[None] = []
    one.call_at(Position("e", 5), lambda: reached.append(None))
    one.read(0, epoch="new")

    assert reached == [None]


@dataclass
class Store:
    """What a server does: it keeps the newest messages, and may lose everything."""

    keeps: int
    epoch: str = "0:"
    last: int = 0
    kept: list[int] = field(default_factory=list)

    def publish(self) -> tuple[str, int]:
        """Store a message."""
        self.last += 1
        self.kept = [*self.kept, self.last][-self.keeps :]
        return self.epoch, self.last

    def wipe(self) -> None:
        """Lose everything."""
        self.epoch, self.last, self.kept = f"{int(self.epoch[:-1]) + 1}:", 0, []

    def fill(self, one: Followed, limit: int) -> None:
        """Answer a read after where somebody stands."""
        after = 0 if one.position is None else one.position.offset
        found = [offset for offset in self.kept if offset > after][:limit]
        one.read(self.last, *found, epoch=self.epoch, is_cut=len(found) == limit)


class World:
    """A store, one who follows it, and what is on the way between them."""

    def __init__(self, keeps: int, limit: int, seed: int) -> None:
        self.one = Followed()
        self.store = Store(keeps)
        self._limit = limit
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._sent: list[tuple[str, int]] = []
        self._late: list[tuple[str, int]] = []

    def publish(self) -> None:
        """Store a message that arrives."""
        self.publish_and_lose()
        self._arrive(*self._sent[-1])

    def publish_and_lose(self) -> None:
        """Store a message that does not arrive."""
        self._sent.append(self.store.publish())

    def publish_and_delay(self) -> None:
        """Store a message that arrives later."""
        self.publish_and_lose()
        self._late.append(self._sent[-1])

    def let_the_late_come(self) -> None:
        """Let what is on the way arrive, in any order."""
        self._chance.shuffle(self._late)
        for each in self._late:
            self._arrive(*each)
        self._late = []

    def repeat(self) -> None:
        """Let something arrive that was sent at any time before."""
        if self._sent:
            self._arrive(*self._chance.choice(self._sent))

    def read(self) -> None:
        """Read what is missing."""
        self.store.fill(self.one, self._limit)

    def wipe(self) -> None:
        """Lose the store."""
        self.store.wipe()

    def _arrive(self, epoch: str, offset: int) -> None:
        self.one.get(offset, epoch=epoch)


def check_log(log: Sequence[str | Position]) -> None:
    """In order, once, and no hole unless it was said."""
    at: Position | None = None
    for entry in log:
        if isinstance(entry, Position):
            assert at is None or at.epoch != entry.epoch or entry.offset > at.offset
            at = entry
        else:
            epoch, _, offset = entry.rpartition(":")
            here = Position(epoch + ":", int(offset))
            assert at is None or here == Position(at.epoch, at.offset + 1)
            at = here


STEPS: Final = [
    World.publish,
    World.publish_and_lose,
    World.publish_and_delay,
    World.let_the_late_come,
    World.repeat,
    World.read,
    World.wipe,
]


@given(
    st.lists(st.sampled_from(STEPS), max_size=60),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 2**32),
)
def test_is_sound_whatever_is_lost_late_or_doubled(
    steps: list[Callable[[World], None]], keeps: int, limit: int, seed: int
) -> None:
    """The log has no loss, repeat or wrong order that was not said (requirement 109)."""
    world = World(keeps, limit, seed)
    for step in steps:
        step(world)
    world.read()
    while world.one.is_behind:
        world.read()

    check_log(world.one.log)
    assert world.one.position == Position(world.store.epoch, world.store.last)
