"""An outbox keeps chunks for a paused transport, in order and within bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.connection import Subscription
from itemwire.channels.delivery.bounded_buffer import MAX_HELD
from itemwire.channels.delivery.outbox import GAP_BYTES, Message, Outbox
from itemwire.channels.delivery.recovery import StartPoint
from itemwire.channels.limits.slow_consumers import SlowConsumerPolicies, SlowConsumerPolicy
from itemwire.messages import Gap, Position
from itemwire_auth.principal import Grant
from tests.fakes import EVERYTHING, LIMITS, ItemRules, Stage, principal


def policy_of(newest: bool) -> SlowConsumerPolicy:
    """Return the policy that drops the newest message, or the oldest."""
    return SlowConsumerPolicy.DROP_NEWEST if newest else SlowConsumerPolicy.DROP_OLDEST


def drained(outbox: Outbox) -> list[object]:
    """Take everything that waits."""
    taken: list[object] = []
    while (chunk := outbox.take()) is not None:
        taken.append(chunk)
    return taken


def test_gives_chunks_back_in_order() -> None:
    """Order is per channel and ends at the client, not at the buffer."""
    outbox = Outbox(limit=100)
    for chunk in (b"one", b"two", b"three"):
        assert outbox.keep(chunk, unsent=0)

    assert drained(outbox) == [b"one", b"two", b"three"]


@pytest.mark.parametrize("unsent", [0, 40])
def test_counts_what_the_transport_has_unsent_too(unsent: int) -> None:
    """Memory is memory, on whichever side of the transport it lies."""
    exact, short = Outbox(limit=unsent + 4), Outbox(limit=unsent + 3)
    for outbox in (exact, short):
        outbox.keep(b"1", unsent)

    assert exact.keep(b"abc", unsent)
    assert not short.keep(b"abc", unsent)


def test_keeps_one_chunk_of_any_size_when_nothing_else_waits() -> None:
    """The answer to one question may be larger than the limit, and its asker reads well."""
    outbox = Outbox(limit=3)
    kept, kept_another = outbox.keep(b"the whole history", 10), outbox.keep(b"1", 10)

    assert (kept, kept_another) == (True, False)
    assert drained(outbox) == [b"the whole history"]


def test_keeps_a_replay_beside_the_limit_and_in_order() -> None:
    """A joiner has had no chance to read: its replay is bounded as history is."""
    outbox = Outbox(limit=3)
    for number in range(10):
        outbox.keep_uncounted(b"replayed %d" % number)
    kept = outbox.keep(b"new", unsent=0)

    assert kept
    assert drained(outbox) == [*(b"replayed %d" % n for n in range(10)), b"new"]


@pytest.mark.parametrize("policy", SlowConsumerPolicy)
def test_a_second_replay_counts(policy: SlowConsumerPolicy) -> None:
    """The first is let through whatever its size; what a second has no room for, its item drops.

    Where the item drops nothing, the client is too slow (requirement 126).
    """
    stage = Stage(limits=replace(LIMITS, slow_consumers=SlowConsumerPolicies((("*", policy),))))
    for item in "ab":
        for _ in range(50):
            stage.node.publish(principal(), item, f'"{"x" * 1000}"', None, lambda _: None)
    rules = ItemRules(dict.fromkeys("ab", EVERYTHING))
    many = stage.open(rules, room=1)
    many.joins("a", replay=50)
    after_one = many.transport.reasons
    grant = Grant(many.connection.principal, "b", EVERYTHING)
    stage.node.join(Subscription(many.connection, grant), StartPoint(replay=50), lambda _: None)
    outbox = many.connection.outbox

    assert after_one == []
    if policy is SlowConsumerPolicy.DISCONNECT:
        assert many.transport.reasons == ["slow_consumer"]
    else:
        assert outbox is not None
        assert LIMITS.outbox_bytes / 2 < outbox.size <= LIMITS.outbox_bytes
        assert outbox.dropped > 0


def test_bounds_empty_chunks_too() -> None:
    """No bytes travel in them, and each takes memory: a flood of them must end (requirement 93)."""
    outbox = Outbox(limit=1000)

    assert not all(outbox.keep(b"", unsent=0) for _ in range(10_000))


def test_does_not_keep_what_it_refuses() -> None:
    """A refused chunk that still went out later would be out of order, or past an end."""
    outbox = Outbox(limit=3)
    for chunk in (b"1", b"too big to wait", b"23"):
        outbox.keep(chunk, unsent=0)

    assert drained(outbox) == [b"1", b"23"]


def test_frees_the_room_of_what_was_taken() -> None:
    """The limit is on what waits now, not on what ever waited."""
    outbox = Outbox(limit=3)
    for _ in range(100):
        outbox.keep(b"a", unsent=0)
        outbox.keep(b"bc", unsent=0)
        drained(outbox)

    assert outbox.keep(b"a", unsent=0)
    assert outbox.keep(b"bc", unsent=0)


@given(
    limit=st.integers(0, 40),
    moves=st.lists(st.one_of(st.binary(max_size=8), st.none())),
)
def test_agrees_with_a_naive_queue(limit: int, moves: list[bytes | None]) -> None:
    """Whatever the sequence: what was kept comes out once and in order, within the limit."""
    outbox = Outbox(limit)
    waiting: list[bytes] = []
    for move in moves:
        if move is None:
            assert outbox.take() == (waiting.pop(0) if waiting else None)
        elif outbox.keep(move, unsent=0):
            waiting.append(move)
        assert len(waiting) <= 1 or sum(map(len, waiting)) <= limit or not all(waiting)
    assert drained(outbox) == waiting


def message(
    offset: int, *, size: int = 10, newest: bool = False, stream: str = "a", epoch: str = "e"
) -> Message:
    """Make a message that may be dropped."""
    chunk = b"%d" % offset + bytes(size)
    place = Position(epoch, offset)
    return Message(chunk[:size], stream, f"item {stream}", place, policy_of(newest))


def told(outbox: Outbox) -> list[str]:
    """Take everything that waits, and write it shortly."""
    return [
        f"{what.item} lacks {what.from_}-{what.to} of {what.epoch}"
        if isinstance(what, Gap)
        else bytes(what).strip(b"\0").decode()  # type: ignore[call-overload] # bytes, in these tests
        for what in drained(outbox)
    ]


@pytest.mark.parametrize(
    ("newest", "dropped", "expected"),
    [
        (False, 7, ["item a lacks 1-7 of e", "8", "9", "10"]),
        (True, 5, ["1", "2", "3", "4", "5", "item a lacks 6-10 of e"]),
    ],
    ids=["drop_oldest", "drop_newest"],
)
def test_drops_past_three_quarters_and_says_what(
    newest: bool, dropped: int, expected: list[str]
) -> None:
    """One gap for messages in a row, where they would have stood (requirement 112)."""
    outbox = Outbox(limit=GAP_BYTES * 4)
    for offset in range(1, 11):
        outbox.keep_or_drop(message(offset, size=150, newest=newest), unsent=0)

    assert outbox.dropped == dropped
    assert told(outbox) == expected


def test_leaves_what_may_not_be_dropped_its_quarter() -> None:
    """A client with a full outbox of telemetry must not lose its socket for one answer."""
    outbox = Outbox(limit=4000)
    for offset in range(1, 100):
        outbox.keep_or_drop(message(offset, size=100), unsent=0)
    kept = [outbox.keep(b"answer" + bytes(494), unsent=0) for _ in range(3)]

    assert kept == [True, True, False]


def test_keeps_the_newest_message_even_without_room() -> None:
    """After the gap a client finds where things stand, though answers have filled the outbox."""
    outbox = Outbox(limit=1000)
    outbox.keep(bytes(900), unsent=0)
    for offset in (1, 2, 3):
        outbox.keep_or_drop(message(offset, size=500), unsent=100_000)

    assert told(outbox)[1:] == ["item a lacks 1-2 of e", "3"]


def test_drops_only_from_items_whose_rule_says_so() -> None:
    """On a socket of many, what waits of one item makes no room for another's."""
    outbox = Outbox(limit=2000)
    outbox.keep_or_drop(message(1, size=1000, newest=True, stream="b"), unsent=0)
    for offset in (1, 2, 3):
        outbox.keep_or_drop(message(offset, size=200, stream="a"), unsent=0)

    assert told(outbox) == ["1", "item a lacks 1-2 of e", "3"]


def test_begins_another_gap_in_another_epoch_and_after_what_was_kept() -> None:
    """A gap that spans a new count, or a message that came, would be a lie."""
    outbox = Outbox(limit=0)
    outbox.keep_or_drop(message(1, newest=True), unsent=0)
    for offset, epoch in ((2, "e"), (3, "e"), (1, "f"), (2, "f"), (5, "f")):
        outbox.keep_or_drop(message(offset, newest=True, epoch=epoch), unsent=0)

    assert told(outbox) == [
        "1",
        "item a lacks 2-3 of e",
        "item a lacks 1-2 of f",
        "item a lacks 5-5 of f",
    ]


def test_widens_no_gap_that_has_gone_out() -> None:
    """What was sent cannot be changed: the next drop is told by a gap of its own."""
    outbox = Outbox(limit=0)
    for offset in (1, 2):
        outbox.keep_or_drop(message(offset, newest=True), unsent=0)
    outbox.take()
    first_gap = outbox.take()
    for offset in (3, 4):
        outbox.keep_or_drop(message(offset, newest=True), unsent=0)

    assert first_gap == Gap("item a", "e", 2, 2)
    assert told(outbox) == ["3", "item a lacks 4-4 of e"]


def test_holds_no_more_however_long_nobody_reads() -> None:
    """Sixty seconds or a day: the places taken are bounded as the bytes are (requirement 93)."""
    outbox = Outbox(limit=10_000_000)
    for offset in range(1, 100_000):
        outbox.keep_or_drop(message(offset, size=4), unsent=0)

    assert len(outbox._waiting) < 10_000
    assert outbox._oldest[0] in outbox._waiting


def is_answer(what: object) -> TypeGuard[bytes]:
    """Tell a message from other frames."""
    return isinstance(what, bytes) and what.startswith(b"answer")


def numbered(stream: int, offset: int, size: int, *, newest: bool) -> Message:
    """Make a message that shows its place."""
    chunk = b"%d %d " % (stream, offset) + bytes(size)
    place = Position("e", offset)
    return Message(chunk, stream, str(stream), place, policy_of(newest))


@given(
    limit=st.integers(0, 3000),
    newest=st.lists(st.booleans(), min_size=3, max_size=3),
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("message"), st.integers(0, 2), st.integers(1, 400)),
            st.tuples(st.sampled_from(["answer", "take"]), st.just(0), st.integers(1, 400)),
        )
    ),
)
def test_every_message_comes_or_is_in_a_gap_once_and_in_order(
    limit: int, newest: list[bool], moves: list[tuple[str, int, int]]
) -> None:
    """Whatever the sequence, of several items of both kinds: the log of a client adds up."""
    outbox = Outbox(limit)
    sent, heard = [0, 0, 0], [0, 0, 0]
    answers: list[int] = []
    out: list[object] = []
    for number, (move, stream, size) in enumerate(moves):
        if move == "take":
            out.append(outbox.take())
        elif move == "message":
            sent[stream] += 1
            outbox.keep_or_drop(
                numbered(stream, sent[stream], size, newest=newest[stream]), unsent=0
            )
        elif outbox.keep(b"answer %d" % number, unsent=0):
            answers.append(number)
    out += drained(outbox)

    heard_answers = [int(one.split()[1]) for one in out if is_answer(one)]
    for what in out:
        if isinstance(what, Gap):
            assert what.from_ == heard[int(what.item)] + 1
            heard[int(what.item)] = what.to
        elif isinstance(what, bytes) and not is_answer(what):
            stream, offset = map(int, what.split(b"\0")[0].split())
            assert offset == heard[stream] + 1
            heard[stream] = offset
    assert (heard, heard_answers) == (sent, answers)
    assert (outbox._size, outbox._messages, len(outbox._oldest), outbox._gaps) == (0, 0, 0, {})


def test_drops_past_three_quarters_of_so_many_messages_however_small() -> None:
    """Each takes memory that its bytes do not show."""
    outbox = Outbox(limit=1 << 30)
    for offset in range(1, MAX_HELD):
        outbox.keep_or_drop(message(offset, size=1), unsent=0)
        if outbox.dropped:
            break

    assert offset == MAX_HELD * 3 // 4 + 1


@pytest.mark.parametrize(("size", "dropped"), [(750, 0), (751, 1)])
def test_drops_nothing_up_to_three_quarters(size: int, dropped: int) -> None:
    """The last byte of them is taken."""
    outbox = Outbox(limit=1000)
    first, second = message(1, size=size - 250), message(2, size=250)
    for one in (first, second):
        outbox.keep_or_drop(one, unsent=0)

    assert outbox.dropped == dropped
