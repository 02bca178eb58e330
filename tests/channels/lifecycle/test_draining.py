"""How a node goes out of service: who ends when, what is waited for, who is refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import msgspec
import pytest

from itemwire.channels.connection import Connection
from itemwire.channels.endings import retry_after_ms
from itemwire.channels.lifecycle.draining import ANSWER_STEPS, MIN_BATCH, STEP_SECONDS, Draining
from itemwire.channels.sessions.echo import EchoSession
from itemwire.close_reasons import CLOSE_REASONS, DRAINING, MESSAGES_LOST, CloseReason, Retry
from itemwire.engines.base import ANSWER_SECONDS
from tests.fakes import ITEM, PLAIN, Close, LateEngine, Peer, RecordingTransport, Stage

A_STEP = STEP_SECONDS * 1.01  # the clock's sums are not exact


class Waited:
    """Notes that the drain is over."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        """Note it."""
        self.times += 1


def crowd(stage: Stage, size: int) -> list[RecordingTransport]:
    """Take in so many sockets."""
    return [stage.connect()[1] for _ in range(size)]


def open_ones(transports: list[RecordingTransport]) -> int:
    """Count who has not ended."""
    return sum(not transport.closes for transport in transports)


def test_few_sockets_end_at_once(stage: Stage) -> None:
    """A developer's Ctrl-C, or a small server's restart, need not wait for a crowd's time."""
    waited = Waited()
    sockets = crowd(stage, MIN_BATCH)

    assert stage.node.drain(5, waited) == MIN_BATCH

    assert open_ones(sockets) == 0
    assert waited.times == 1


def test_many_sockets_end_over_the_time_and_all_within_it(stage: Stage) -> None:
    """The servers they go to have some other time for each of them (requirement 107)."""
    waited = Waited()
    sockets = crowd(stage, 40 * MIN_BATCH)
    stage.node.drain(2, waited)
    left = [open_ones(sockets)]
    for _ in range(3):
        stage.pass_time(0.5)
        left.append(open_ones(sockets))

    assert left == sorted(left, reverse=True)
    assert 0.4 * len(sockets) < left[2] < 0.6 * len(sockets)
    assert left[3] > 0
    assert waited.times == 0
    stage.pass_time(0.5)
    assert (open_ones(sockets), waited.times) == (0, 1)


def test_no_seconds_at_all_end_everybody_now(stage: Stage) -> None:
    """For an operator in a hurry."""
    sockets = crowd(stage, 3 * MIN_BATCH)
    stage.node.drain(0)

    assert open_ones(sockets) == 0


def test_the_latest_order_counts(stage: Stage) -> None:
    """A signal that comes while an hour's drain is under way stops the process in time."""
    both = Waited()
    sockets = crowd(stage, 10 * MIN_BATCH)
    stage.node.drain(3600, both)
    stage.pass_time(A_STEP)
    left = stage.node.drain(2 * STEP_SECONDS, both)
    stage.pass_time(2 * A_STEP)

    assert left == 8 * MIN_BATCH
    assert (open_ones(sockets), both.times) == (0, 2)


def test_a_drain_after_the_drain_is_over_at_once(stage: Stage) -> None:
    """The operator has drained the node; then its process is stopped."""
    waited = Waited()
    stage.connect()
    stage.node.drain(5)

    assert stage.node.drain(5, waited) == 0
    assert waited.times == 1


def test_nobody_is_favoured_by_the_order_of_coming(stage: Stage) -> None:
    """Else those who came first today would be thrown out first at each restart."""
    ended: list[Mapping[Connection, CloseReason]] = []
    sockets = [stage.connect()[0] for _ in range(MIN_BATCH + 1)]
    lots = itertools.cycle([0.3, 0.1, 0.2])
    draining = Draining(sockets, ended.append, lambda *_: None, lambda: next(lots))
    draining.end_within(1, lambda: None)

    assert set(sockets).difference(*ended) == {sockets[1]}


def test_tells_what_to_do_and_when(stage: Stage) -> None:
    """The one who comes back at once meets all the others who do."""
    peer = stage.join("alice")
    stage.node.drain(0)

    assert peer.sees[-1] == {
        "type": "closing",
        "code": 1012,
        "reason": "draining",
        "retry": "now",
        "retry_after_ms": 1000,
    }
    assert peer.transport.closes == [Close(1012, "draining")]


def test_ends_plain_and_echo_sockets_with_the_close_frame(stage: Stage) -> None:
    """They have no word for more."""
    plain = stage.join("bob", codec=PLAIN).transport
    connection, echo = stage.connect(codec=PLAIN)
    EchoSession(stage.node, connection).opened()
    stage.node.drain(0)

    assert (plain.reasons, plain.frames) == (["draining"], [])
    assert (echo.reasons, echo.frames) == (["draining"], [])


def test_who_ends_later_goes_on_until_then(stage: Stage) -> None:
    """Traffic does not stop because somebody else has been sent away."""
    peers = [stage.join(f"user{n}") for n in range(MIN_BATCH + 1)]
    stage.node.drain(1)
    (staying,) = (peer for peer in peers if not peer.transport.closes)

    assert staying.says("publish", data="still here", ref=1)["offset"] == 1
    stage.pass_time(A_STEP)
    assert staying.transport.reasons == ["draining"]


@pytest.fixture
def publisher(late_stage: Stage, late_engine: LateEngine) -> Peer:
    """Give one who has published to an engine that takes its time, on a node that drains."""
    peer = late_stage.join("alice")
    late_engine.settle()
    peer.says("publish", data="before", ref=1)
    late_stage.node.drain(0)
    return peer


def test_an_answer_that_is_due_goes_ahead_of_the_end(
    late_stage: Stage, late_engine: LateEngine, publisher: Peer
) -> None:
    """Who is not answered publishes again, somewhere else."""
    assert publisher.transport.closes == []
    late_engine.settle()
    late_stage.pass_time(A_STEP)

    assert [told["type"] for told in publisher.sees] == ["welcome", "message", "reply", "closing"]
    assert publisher.transport.reasons == ["draining"]


def test_what_is_said_meanwhile_is_not_acted_on(
    late_stage: Stage, late_engine: LateEngine, publisher: Peer
) -> None:
    """Else a client that always has something under way would be waited for, for ever."""
    publisher.says("publish", data="after", ref=2)
    late_engine.settle()
    late_stage.pass_time(A_STEP)

    assert [told["ref"] for told in publisher.saw("reply")] == [1]
    assert [told["data"] for told in publisher.saw("message")] == ["before"]


def test_an_answer_that_does_not_come_is_not_waited_for(late_stage: Stage, publisher: Peer) -> None:
    """The engine may be what is broken; the process must stop all the same."""
    late_stage.pass_time(ANSWER_SECONDS / 2)
    before = list(publisher.transport.reasons)
    late_stage.pass_time((ANSWER_STEPS + 1) * STEP_SECONDS - ANSWER_SECONDS / 2)

    assert publisher.saw("error")[-1]["code"] == "overloaded"
    assert (before, publisher.transport.reasons) == ([], ["draining"])


def test_who_goes_by_himself_is_not_waited_for(late_stage: Stage, publisher: Peer) -> None:
    """Nobody is there to be answered."""
    waited = Waited()
    late_stage.node.drain(0, waited)
    publisher.session.closed(1001)
    late_stage.pass_time(A_STEP)

    assert waited.times == 1
    assert publisher.transport.closes == []


def test_who_comes_meanwhile_is_ended_at_once(stage: Stage) -> None:
    """A handshake that was under way; no later batch would find it."""
    stage.node.drain(5)
    _, transport = stage.connect()

    assert transport.reasons == ["draining"]


def test_is_not_ready_any_more(stage: Stage) -> None:
    """The load balancer must send nobody here, from the first moment."""
    seen = [(stage.node.is_ready, stage.node.is_draining)]
    stage.node.drain(5)
    seen.append((stage.node.is_ready, stage.node.is_draining))

    assert seen == [(True, False), (False, True)]


@pytest.mark.parametrize("row", list(CLOSE_REASONS.values()), ids=CLOSE_REASONS)
def test_those_that_are_ended_together_come_back_apart(row: CloseReason) -> None:
    """Full jitter: any moment of the window is as likely. One client alone comes when it likes."""
    first, last = retry_after_ms(row, lambda: 0.0), retry_after_ms(row, lambda: 0.999_999)

    if row.retry is Retry.LATER:
        assert (first, last) == (1000, 4999)
    elif row in (DRAINING, MESSAGES_LOST):
        assert (first, last) == (0, 1999)
    else:
        assert (first, last) == (0, 0)


def test_the_server_says_ahead_of_its_own_close_what_to_do(stage: Stage) -> None:
    """A frame over the limit is cut by the server, and a plain uvicorn stops without asking."""
    peer = stage.join("alice")
    peer.session.ending(1009, "message_too_big")

    assert peer.sees[-1]["reason"] == "message_too_big"
    assert peer.transport.closes == [Close(1009, "message_too_big")]


def test_a_close_without_a_word_of_ours_is_left_to_the_server(stage: Stage) -> None:
    """A fault in the framing has a code and no reason."""
    peer = stage.join("alice")
    peer.session.ending(1002, "")

    assert peer.saw("closing") == []
    assert peer.transport.closes == []
    assert msgspec.json.decode(peer.transport.frames[0])["item"] == ITEM
