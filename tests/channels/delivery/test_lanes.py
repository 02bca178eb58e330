"""A tick's chunks are joined once and written once each, in one order for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.delivery.lanes import MAX_PENDING_BYTES, Lane
from itemwire.channels.delivery.outbox import Chunk, ChunkWriter
from itemwire.fastpath.frames import PLAIN_FRAMING
from itemwire.messages import Position
from itemwire_auth.scopes import Action
from tests.fakes import EVERYTHING, JSON, Stage


class Listener:
    """A subscriber and its connection: it notes each write, and can be made to fall behind."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.chosen: list[tuple[Chunk, Position | None]] | None = None  # None: it keeps up
        self.has_room = True
        self.writer: ChunkWriter = self.writes.append

    @property
    def connection(self) -> Listener:
        """It is both in one."""
        return self

    @property
    def outbox(self) -> object | None:
        """It has one while it is behind."""
        return self.chosen

    def keep(
        self, joined: Chunk, chunks: Sequence[Chunk], positions: Sequence[Position | None]
    ) -> bool:
        """Note what waits for it, chunk by chunk."""
        assert self.chosen is not None
        assert len(joined) == sum(map(len, chunks))
        self.chosen.extend(zip(chunks, positions, strict=True))
        return self.has_room

    @property
    def heard(self) -> bytes:
        """Give everything it got, in one piece."""
        return b"".join(self.writes)


def lane_of(*listeners: Listener) -> Lane[Listener]:
    """Make a lane that delivers to these."""
    lane: Lane[Listener] = Lane(JSON, PLAIN_FRAMING, shows_presence=True)
    for listener in listeners:
        lane.add(listener)
    return lane


def test_writes_once_what_one_tick_sends() -> None:
    """One write for eight messages costs what one for one does: the gain of the fan-out."""
    listeners = [Listener() for _ in range(3)]
    lane = lane_of(*listeners)
    for number in range(8):
        lane.send(b"%d" % number)
    lane.flush()

    assert [listener.writes for listener in listeners] == [[b"01234567"]] * 3
    assert len({id(listener.writes[0]) for listener in listeners}) == 1


def test_says_whether_it_waits_for_a_flush() -> None:
    """So the hub schedules one, and the next tick another."""
    lane = lane_of(Listener())
    seen = [lane.is_pending]
    for chunk in (b"a", b"b"):
        lane.send(chunk)
        seen.append(lane.is_pending)
    lane.flush()
    seen.append(lane.is_pending)

    assert seen == [False, True, True, False]


def test_waits_for_no_flush_past_its_bound() -> None:
    """A flood in one tick must not be joined into what no outbox would take."""
    listener = Listener()
    lane = lane_of(listener)
    lane.send(bytes(MAX_PENDING_BYTES - 1))
    before = list(listener.writes)
    lane.send(b"x")
    lane.send(b"y")

    assert before == []
    assert [len(chunk) for chunk in listener.writes] == [MAX_PENDING_BYTES]


def test_lets_one_catch_up_without_the_others() -> None:
    """An answer between two messages comes between them, for who asked."""
    asking, listening = Listener(), Listener()
    lane = lane_of(asking, listening)
    lane.send(b"1")
    lane.catch_up(asking)
    asking.writer(b"answer")
    lane.send(b"2")
    lane.flush()

    assert asking.writes == [b"1", b"answer", b"2"]
    assert listening.writes == [b"12"]


def test_catches_up_with_nothing_twice() -> None:
    """The second answer of a tick has nothing more to wait for."""
    asking = Listener()
    lane = lane_of(asking)
    lane.send(b"1")
    for _ in range(2):
        lane.catch_up(asking)
    lane.flush()
    lane.catch_up(asking)

    assert asking.writes == [b"1"]


def test_gives_a_newcomer_nothing_of_before() -> None:
    """What was pending when it came is in its history already."""
    early, late = Listener(), Listener()
    lane = lane_of(early)
    lane.send(b"1")
    lane.add(late)
    lane.send(b"2")
    lane.flush()
    lane.send(b"3")
    lane.flush()

    assert early.writes == [b"12", b"3"]
    assert late.writes == [b"2", b"3"]


@pytest.mark.parametrize("caught_up", [True, False])
def test_gives_who_left_nothing_more(caught_up: bool) -> None:
    """After an expiry not even what was pending may reach it."""
    leaving, staying = Listener(), Listener()
    lane = lane_of(leaving, staying)
    if caught_up:
        lane.send(b"0")
        lane.catch_up(leaving)
    lane.send(b"1")
    lane.remove(leaving)
    lane.flush()
    lane.send(b"2")
    lane.flush()

    assert leaving.heard == (b"0" if caught_up else b"")
    assert staying.heard.endswith(b"12")


def test_lets_a_subscriber_change_its_writer_in_the_middle_of_a_walk() -> None:
    """A transport says that it has enough from within a write; nobody else may miss a chunk."""
    listeners = [Listener() for _ in range(5)]
    lane = lane_of(*listeners)
    kept: list[bytes] = []

    def take_and_pause(of: Listener) -> Callable[[bytes], None]:
        def write(chunk: bytes) -> None:
            of.writes.append(chunk)
            of.writer = kept.append
            lane.reroute(of)

        return write

    for listener in listeners[1::2]:
        listener.writer = take_and_pause(listener)
        lane.reroute(listener)
    for number in range(3):
        lane.send(b"%d" % number)
        lane.flush()

    assert [listener.heard for listener in listeners] == [b"012", b"0", b"012", b"0", b"012"]
    assert kept == [b"1", b"1", b"2", b"2"]


def test_keeps_who_caught_up_out_of_the_joint_write_when_rerouted() -> None:
    """A pause in between must not put it back in and give it a message twice."""
    asking = Listener()
    lane = lane_of(asking)
    kept: list[bytes] = []
    lane.send(b"1")
    lane.catch_up(asking)
    asking.writer = kept.append
    lane.reroute(asking)
    lane.send(b"2")
    lane.flush()

    assert asking.writes == [b"1"]
    assert kept == [b"2"]


def test_goes_on_past_a_transport_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """One fault, which no transport should have, must not silence a whole channel."""
    listeners = [Listener() for _ in range(3)]

    def fail(_chunk: bytes) -> None:
        raise ZeroDivisionError("a fault of a transport")

    listeners[1].writer = fail
    lane = lane_of(*listeners)
    lane.send(b"1")
    lane.flush()

    assert [listener.heard for listener in listeners] == [b"1", b"", b"1"]
    assert "a fault of a transport" in caplog.text


@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "flush", "catch", "join", "leave"]), st.integers(0, 3))
    )
)
def test_agrees_with_writing_each_message_to_each_at_once(moves: list[tuple[str, int]]) -> None:
    """Joining changes the number of writes and nothing else: the naive way is the model."""
    lane = lane_of()
    joined = [Listener() for _ in range(4)]
    expected = [b""] * 4
    here: set[int] = set()
    for number, (move, who) in enumerate(moves):
        if move == "send":
            lane.send(b"%d;" % number)
            for one in here:
                expected[one] += b"%d;" % number
        elif move == "flush":
            lane.flush()
        elif move == "catch" and who in here:
            lane.catch_up(joined[who])
            joined[who].writer(b"answer;")
            expected[who] += b"answer;"
        elif move == "join" and who not in here:
            lane.add(joined[who])
            here.add(who)
        elif move == "leave" and who in here:
            lane.catch_up(joined[who])
            lane.remove(joined[who])
            here.remove(who)
    lane.flush()

    assert [listener.heard for listener in joined] == expected


def test_writes_a_message_and_the_answer_to_its_publisher_once(stage: Stage) -> None:
    """Both are due in the same moment, and a write costs more than all that is done for them."""
    publisher, other = stage.join("publisher"), stage.join("other")
    alone = stage.join("alone", item="7")
    stage.settle()
    before = [one.transport.chunks for one in (publisher, other, alone)]
    for one in (publisher, alone):
        one.session.received('{"type":"publish","data":1,"ref":1}')
    stage.settle()

    writes = [one.transport.chunks for one in (publisher, other, alone)]
    assert [after - was for was, after in zip(before, writes, strict=True)] == [1, 1, 1]
    for one in (publisher, alone):
        assert [event["type"] for event in one.sees][-2:] == ["message", "reply"]
    assert [event["type"] for event in other.sees][-1:] == ["message"]


def test_writes_a_burst_to_a_channel_once_per_subscriber(stage: Stage) -> None:
    """The same through the whole core: what one tick publishes is one chunk for who listens."""
    publisher = stage.join("publisher")
    listening = stage.join("listening", can=EVERYTHING - {Action.PRESENCE})
    stage.settle()
    chunks_before = listening.transport.chunks
    for number in range(8):
        publisher.session.received(f'{{"type":"publish","data":{number},"ref":{number}}}')

    assert [one["data"] for one in listening.saw("message")] == list(range(8))
    assert listening.transport.chunks == chunks_before + 1
    kinds = [one["type"] for one in publisher.saw("message", "reply")]
    assert kinds == ["message", "reply"] * 8


def positions(*offsets: int) -> list[Position]:
    """Return the positions of messages in one epoch."""
    return [Position("e", offset) for offset in offsets]


def test_offers_each_chunk_alone_to_a_subscriber_that_is_behind() -> None:
    """Dropping needs to know where a message begins, which joined bytes do not say."""
    behind, listening = Listener(), Listener()
    behind.chosen = []
    lane = lane_of(behind, listening)
    first, second = positions(1, 2)
    lane.send(b"1", first)
    lane.send(b"joined")
    lane.send(b"2", second)
    lane.flush()

    assert behind.chosen == [(b"1", first), (b"joined", None), (b"2", second)]
    assert behind.writes == []
    assert listening.writes == [b"1joined2"]


def test_sends_nothing_twice_to_a_subscriber_that_falls_behind_in_a_flush() -> None:
    """Its transport reports that it is full during the joint write, which it has received."""
    falling = Listener()

    def take_and_fall_behind(chunk: bytes) -> None:
        falling.writes.append(chunk)
        falling.chosen = []
        lane.reroute(falling)

    falling.writer = take_and_fall_behind
    lane = lane_of(falling)
    for offset in (1, 2):
        lane.send(b"%d" % offset, *positions(offset))
        lane.flush()
    chosen = falling.chosen
    falling.chosen, falling.writer = None, falling.writes.append
    lane.reroute(falling)
    lane.send(b"3", *positions(3))
    lane.flush()

    assert falling.writes == [b"1", b"3"]
    assert chosen == [(b"2", *positions(2))]


@pytest.mark.parametrize("behind_from", ["before", "between"])
def test_a_subscriber_that_is_behind_catches_up_once(behind_from: str) -> None:
    """An answer keeps its position among messages that may be dropped."""
    asking = Listener()
    asking.chosen = [] if behind_from == "before" else None
    lane = lane_of(asking)
    lane.send(b"1", *positions(1))
    lane.catch_up(asking)
    asking.chosen = asking.chosen or []
    lane.reroute(asking)
    lane.send(b"2", *positions(2))
    lane.flush()
    lane.remove(asking)
    lane.send(b"3", *positions(3))
    lane.flush()

    seen = [chunk for chunk, _ in asking.chosen]
    assert (asking.writes, seen) == (
        ([], [b"1", b"2"]) if behind_from == "before" else ([b"1"], [b"2"])
    )


def test_reports_once_who_was_too_slow_and_after_all_were_written_to() -> None:
    """The hub ends it when the fan-out has gone round: nobody may see the end before the cause."""
    slow, listening, slower = Listener(), Listener(), Listener()
    slow.chosen, slower.chosen = [], []
    slow.has_room = slower.has_room = False
    lane = lane_of(slow, listening, slower)
    lane.send(b"1")
    failed = lane.flush()

    assert failed == [slow, slower]
    assert listening.writes == [b"1"]
    assert lane.flush() == ()


@pytest.mark.parametrize("how", ["catches up", "past the bound"])
def test_reports_with_the_flush_who_was_too_slow_before_it(how: str) -> None:
    """A write ahead of the end of the tick finds slow ones as well, and may not end them yet."""
    slow = Listener()
    slow.chosen, slow.has_room = [], False
    lane = lane_of(slow)
    lane.send(b"1" if how == "catches up" else bytes(MAX_PENDING_BYTES))
    if how == "catches up":
        lane.catch_up(slow)

    assert lane.flush() == [slow]


def test_who_has_left_takes_nothing_more() -> None:
    """An answer that is due to it ends with it; the others get what is pending."""
    staying, other, leaving = Listener(), Listener(), Listener()
    lane = lane_of(staying, other, leaving)
    lane.send(b"1")
    lane.remove(leaving)
    taken = list(lane.take(leaving))
    lane.flush()

    assert taken == []
    assert leaving not in lane.writers
    assert [one.heard for one in (staying, other, leaving)] == [b"1", b"1", b""]
