"""Batches of gossip: when they are sent, with which numbers, and what ends them."""

from __future__ import annotations

from itemwire.channels.cluster.gossip import (
    NOTICE_BYTES,
    Gossip,
    Line,
    MemberLeft,
    NodeStopping,
)
from itemwire.channels.cluster.gossip_sender import BATCH_SECONDS, URGENT_SECONDS, GossipSender
from tests.fakes import CHANNEL, Clock, ManualTimers

LEFT = MemberLeft(CHANNEL, "c1")


class Desk:
    """A sender, the lines that wait for it, and what it has sent."""

    def __init__(self) -> None:
        self.timers = ManualTimers(Clock())
        self.lines: list[Line] = []
        self.sent: list[Gossip] = []
        self.sender = GossipSender(self._collect, self.sent.append, self.timers.call_later)

    def _collect(self) -> list[Line]:
        lines, self.lines = self.lines, []
        return lines

    def says(self, *lines: Line, urgent: bool = False) -> None:
        """Let lines wait for the next batch."""
        self.lines += lines
        if urgent:
            self.sender.schedule_urgent()
        else:
            self.sender.schedule()


def started() -> Desk:
    """Start a sender whose first sign of life is sent."""
    desk = Desk()
    desk.sender.start()
    desk.timers.pass_time(BATCH_SECONDS)
    return desk


def test_begins_with_a_sign_of_life() -> None:
    """The others reply to it with their own, so a node that starts learns who is there."""
    assert started().sent == [Gossip(1)]


def test_sends_in_one_notice_what_comes_within_a_batch() -> None:
    """A crowd that joins within a moment is one notice, with the next number."""
    desk = started()
    desk.says(LEFT)
    desk.timers.pass_time(BATCH_SECONDS / 2)
    desk.says(LEFT)
    sent_before = len(desk.sent)
    desk.timers.pass_time(BATCH_SECONDS)

    assert sent_before == 1
    assert desk.sent[1:] == [Gossip(2, [LEFT, LEFT])]


def test_sends_sooner_what_is_urgent() -> None:
    """And with it whatever waits: the ordinary batch has nothing left to send."""
    desk = started()
    desk.says(LEFT)
    desk.says(LEFT, urgent=True)
    desk.timers.pass_time(URGENT_SECONDS)
    sent = desk.sent[1:]
    desk.timers.pass_time(BATCH_SECONDS)

    assert sent == desk.sent[1:] == [Gossip(2, [LEFT, LEFT])]


def test_divides_what_is_too_much_for_one_notice() -> None:
    """Each part has a number of its own, so that a lost one is missed."""
    desk = started()
    desk.says(*[MemberLeft(CHANNEL, "c" * 1000)] * 50)
    desk.timers.pass_time(BATCH_SECONDS)

    assert [one.number for one in desk.sent] == [1, 2, 3, 4]
    assert sum(len(one.lines) for one in desk.sent) == 50
    assert all(len(one.lines) * 1000 < NOTICE_BYTES for one in desk.sent)


def test_sends_no_empty_notice_unless_a_sign_of_life_is_due() -> None:
    """A cluster in which nothing happens says so once every two seconds, no more."""
    desk = started()
    desk.sender.flush()
    before = len(desk.sent)
    desk.sender.require_heartbeat()
    desk.sender.flush()
    desk.sender.flush()

    assert (before, desk.sent[1:]) == (1, [Gossip(2)])


def test_ends_with_the_farewell() -> None:
    """It is the last line of all: the readers believe nothing that comes after it."""
    desk = started()
    desk.says(LEFT)
    desk.sender.stop()
    desk.says(LEFT)
    desk.says(LEFT, urgent=True)
    desk.timers.pass_time(1)

    assert desk.sent[1:] == [Gossip(2, [LEFT, NodeStopping()])]


def test_says_nothing_before_it_is_started() -> None:
    """The engine carries nothing yet."""
    desk = Desk()
    desk.says(LEFT)
    desk.says(LEFT, urgent=True)
    desk.sender.flush()

    assert not desk.timers.waits
    assert desk.sent == []


def test_a_batch_is_no_delay_that_a_person_would_notice() -> None:
    """And an urgent one is over before a reloaded page has reached another node."""
    assert 0 < URGENT_SECONDS < BATCH_SECONDS < 0.1
