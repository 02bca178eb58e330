"""One timer for many things: each expires on time, and only once."""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from itemwire.fastpath import timeouts
from itemwire.fastpath.timeouts import Timeout


class TimerLoop(timeouts.TimerLoop):
    """Time goes on when it is told to, and what is due by then is called."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    @override
    def time(self) -> float:
        return self.now

    @override
    def call_at(self, when: float, callback: Callable[[], None], /) -> object:
        timer = (when, callback)
        self.timers.append(timer)
        return timer

    def goes_to(self, when: float) -> None:
        """Move the time forward and run what is due."""
        self.now = when
        while due := [timer for timer in self.timers if timer[0] <= self.now]:
            self.timers.remove(due[0])
            due[0][1]()


def test_calls_each_when_its_time_is_up_and_not_before() -> None:
    """They expire in the order in which they were started."""
    loop, up = TimerLoop(), list[str]()
    timeout = Timeout[str](loop, 10, up.append)
    timeout.start("early")
    loop.goes_to(5)
    timeout.start("late")
    loop.goes_to(9.99)
    before = list(up)
    loop.goes_to(10)
    between = list(up)
    loop.goes_to(15)

    assert (before, between, up) == ([], ["early"], ["early", "late"])


def test_has_one_timer_for_all_and_none_for_nobody() -> None:
    """Ten thousand sockets must not be ten thousand entries in the loop's heap."""
    loop, up = TimerLoop(), list[int]()
    timeout = Timeout[int](loop, 10, up.append)
    for number in range(10_000):
        timeout.start(number)
    timers = len(loop.timers)
    loop.goes_to(10)
    loop.goes_to(20)

    assert timers == 1
    assert up == list(range(10_000))
    assert loop.timers == []


def test_forgets_who_is_stopped() -> None:
    """A peer that answered in time."""
    loop, up = TimerLoop(), list[str]()
    timeout = Timeout[str](loop, 10, up.append)
    timeout.start("answers")
    timeout.start("does not")

    assert timeout.stop("answers")
    assert not timeout.stop("answers")
    loop.goes_to(10)
    assert up == ["does not"]


def test_does_not_give_more_time_to_who_asks_again() -> None:
    """A peer that sends an octet every few seconds must not live for ever."""
    loop, up = TimerLoop(), list[str]()
    timeout = Timeout[str](loop, 10, up.append)
    timeout.start("slow")
    loop.goes_to(9)
    timeout.start("slow")
    loop.goes_to(10)

    assert up == ["slow"]


def test_lets_one_that_is_called_begin_again() -> None:
    """As with a ping that is answered and followed by the next."""
    loop, up = TimerLoop(), list[str]()

    def again(name: str) -> None:
        up.append(name)
        timeout.start(name)

    timeout = Timeout[str](loop, 10, again)
    timeout.start("ping")
    for when in (10, 20, 30):
        loop.goes_to(when)

    assert up == ["ping"] * 3


def test_wakes_a_hundred_times_a_period_at_most() -> None:
    """Sockets that came one by one are looked at in groups."""
    loop, wakes = TimerLoop(), list[float]()
    timeout = Timeout[int](loop, 10, lambda _: wakes.append(loop.now))
    for number in range(1000):
        loop.goes_to(number / 1000)
        timeout.start(number)
    while loop.timers:
        loop.goes_to(min(when for when, _ in loop.timers))

    assert len(wakes) == 1000
    assert len(set(wakes)) <= 11
    assert max(wakes) <= 11.1


def test_never_calls_without_a_time() -> None:
    """None is a setting of uvicorn that means no pings."""
    loop, up = TimerLoop(), list[str]()
    timeout = Timeout[str](loop, None, up.append)
    timeout.start("patient")

    assert not timeout.runs
    assert "patient" not in timeout
    assert loop.timers == []
