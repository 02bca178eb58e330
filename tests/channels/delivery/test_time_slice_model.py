"""Delivery in slices of time, compared with writing each message to each subscriber at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from itemwire.channels.delivery.lanes import MAX_PENDING_BYTES, Lane
from tests.channels.delivery.slices import ShortSlices, short
from tests.channels.delivery.test_delivery_model import Delivery
from tests.channels.delivery.test_lanes import Listener, lane_of

MEMBERS = 5


class Member(Listener):
    """A subscriber that can fall behind and catch up, and notes the order of all that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.expected = b""
        self.is_here = False
        self.pauses_within: Callable[[], None] | None = None
        self.writer = self._write

    def _write(self, chunk: bytes) -> None:
        self.writes.append(chunk)
        if self.pauses_within is not None:
            pause, self.pauses_within = self.pauses_within, None
            pause()

    def read(self) -> None:
        """Take what waited, in its order."""
        self.writes.append(self.waiting)
        self.chosen = None

    @property
    def has(self) -> bytes:
        """Return all that was delivered to it, read or not."""
        return self.heard + self.waiting

    @property
    def waiting(self) -> bytes:
        """Return what waits for it, in one piece."""
        return b"".join(chunk for chunk, _ in self.chosen or () if isinstance(chunk, bytes))

    def tell(self, chunk: bytes) -> None:
        """Give it something of its own."""
        if self.chosen is None:
            self._write(chunk)
        else:
            self.chosen.append((chunk, None))


class Audience:
    """A lane and its members, and what each of them should have got."""

    def __init__(self) -> None:
        self.lane: Lane[Any] = lane_of()
        self.members = [Member() for _ in range(MEMBERS)]
        self.sent = 0

    def send(self, _one: Member, writes: int, size: int = 0) -> None:
        """Send some messages to all who are here."""
        for _ in range(writes):
            self.sent += 1
            chunk = b"%d;" % self.sent + bytes(size)
            self.lane.send(chunk)
            for each in self.members:
                each.expected += chunk if each.is_here else b""

    def send_much(self, one: Member, _writes: int) -> None:
        """Send one that is written at once."""
        self.send(one, 1, MAX_PENDING_BYTES)

    def flush(self, _one: Member, writes: int) -> None:
        """Let one slice of so many writes pass."""
        self.lane.flush(short(writes))

    def join(self, one: Member, _writes: int) -> None:
        """Join, if it is not here."""
        if not one.is_here:
            self.lane.add(one)
            one.is_here = True

    def answer(self, one: Member, _writes: int) -> None:
        """Give one something of its own, whose place is after all that was sent before."""
        if one.is_here:
            self.sent += 1
            if one.chosen is None:  # then both leave in one write
                pending: Any = self.lane.take(one)
                one.tell(b"".join([*pending, b"answer %d;" % self.sent]))
            else:
                self.lane.catch_up(one)
                one.tell(b"answer %d;" % self.sent)
            one.expected += b"answer %d;" % self.sent

    def leave(self, one: Member, _writes: int) -> None:
        """Leave in good order: with all that was sent before."""
        if one.is_here:
            self.lane.catch_up(one)
            self.lane.remove(one)
            one.is_here = False

    def end(self, one: Member, _writes: int) -> None:
        """End at once: nothing more comes, and what came is all from the start."""
        if one.is_here:
            self.lane.remove(one)
            one.is_here = False
            assert one.expected.startswith(one.has)
            one.expected = one.has

    def pause(self, one: Member, _writes: int) -> None:
        """Fall behind, between two writes."""
        if one.is_here and one.chosen is None:
            one.chosen = []
            self.lane.reroute(one)

    def pause_within(self, one: Member, writes: int) -> None:
        """Fall behind in the middle of the next write."""
        one.pauses_within = lambda: self.pause(one, writes)

    def read(self, one: Member, _writes: int) -> None:
        """Catch up."""
        if one.is_here and one.chosen is not None:
            one.read()
            self.lane.reroute(one)

    def finish(self) -> None:
        """Let so many slices pass as it takes, of one write each."""
        for _ in range(10 * self.sent + MEMBERS):
            self.lane.flush(short())
        assert not self.lane.is_pending
        for one in self.members:
            one.read()


MOVES = [Audience.send, Audience.send, Audience.send_much, Audience.flush, Audience.flush]
MOVES += [Audience.join, Audience.join, Audience.answer, Audience.leave, Audience.end]
MOVES += [Audience.pause, Audience.pause_within, Audience.read]


@given(
    st.lists(
        st.tuples(st.sampled_from(MOVES), st.integers(0, MEMBERS - 1), st.integers(1, 3)),
        max_size=60,
    )
)
@settings(max_examples=500)
def test_agrees_with_writing_each_message_to_each_at_once(
    moves: list[tuple[Callable[[Audience, Member, int], None], int, int]],
) -> None:
    """Whatever happens between two slices: the naive way is the model, for each subscriber."""
    with ShortSlices():
        audience = Audience()
        for move, who, writes in moves:
            move(audience, audience.members[who], writes)
        audience.finish()

    assert [one.heard for one in audience.members] == [one.expected for one in audience.members]


class SlicedDelivery(Delivery):
    """The whole core, with a clock that says after each write that the time is up."""

    @override
    def fresh_store(self) -> None:
        super().fresh_store()
        self.stage.node._hub._time_slice = short()


TestSlicedDelivery = SlicedDelivery.TestCase
TestSlicedDelivery.settings = Delivery.TestCase.settings
