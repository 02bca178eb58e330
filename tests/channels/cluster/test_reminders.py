"""When a number is told again: with growing waits, and not for ever."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.reminders import FORGET_TICKS, WAITS, Reminders


def ticks_of(reminders: Reminders, count: int = 60) -> tuple[list[int], list[int]]:
    """List the ticks in which a channel is due, and in which it is over."""
    again, over = [], []
    for tick in range(1, count):
        due = reminders.tick()
        for channel, times in due.again.items():
            again.append(tick)
            reminders.go_on(channel, times)
        over += [tick] * len(due.over)
    return again, over


@pytest.mark.parametrize(
    ("is_shared", "again"), [(True, [1, 3, 7, 15]), (False, [1])], ids=["shared", "private"]
)
def test_each_wait_is_twice_as_long(is_shared: bool, again: list[int]) -> None:
    """Where nobody else is, once is enough; then the channel is over, and keeps nothing."""
    reminders = Reminders(lambda _: is_shared)
    reminders.begin("x")

    assert ticks_of(reminders) == (again, [again[-1] + FORGET_TICKS])
    assert (reminders._due, reminders._by_tick) == ({}, {})


def test_what_is_told_meanwhile_begins_anew() -> None:
    """The first wait again, and no second reminder beside it."""
    reminders = Reminders(lambda _: True)
    reminders.begin("x")
    reminders.tick()
    reminders.begin("x")

    assert ticks_of(reminders)[0] == [1, 3, 7, 15]


def test_an_end_does_not_shorten_what_is_under_way() -> None:
    """Only a channel that waits for nothing is over soon."""
    reminders = Reminders(lambda _: True)
    reminders.begin("x")
    reminders.end("x")
    reminders.end("y")

    assert ticks_of(reminders) == ([1, 3, 7, 15], [FORGET_TICKS, sum(WAITS) + FORGET_TICKS])
