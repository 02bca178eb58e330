"""Tests of throttle.py: which callers are delayed or stopped, and what it costs the server."""

from __future__ import annotations

import asyncio
import math

import pytest

from itemwire_auth import throttle as module
from itemwire_auth.addresses import BLOCK_SHARE, Caller, parse_networks
from itemwire_auth.errors import Forbidden, InvalidToken, PolicyUnavailable, RateLimited
from itemwire_auth.settings import AuthSettings
from itemwire_auth.throttle import (
    LONGEST_WAIT,
    MAX_WAITING,
    SHORTEST_WAIT,
    Throttle,
    ThrottleRules,
    _Count,
)

BAD = InvalidToken("signature", "it was not made with the key")
DEFAULT_STOP = AuthSettings.model_fields["stop_after_refusals"].default
STRANGER = "192.0.2.7"


class Scene:
    """A throttle with a clock, a jitter and pauses of the test's own."""

    def __init__(self, slow_after: int = 3, stop_after: int = 10, *exempt: str) -> None:
        self.now = 0.0
        self.drawn = 0.5
        self.pauses: list[float] = []
        self.may_go_on = asyncio.Event()
        self.changed = asyncio.Condition()
        rules = ThrottleRules(slow_after, stop_after, parse_networks(exempt))
        self.throttle = Throttle(rules, lambda: self.now, lambda: self.drawn, self.pause)

    async def pause(self, seconds: float) -> None:
        """Wait until the test says so."""
        self.pauses.append(seconds)
        async with self.changed:
            self.changed.notify_all()
        await self.may_go_on.wait()

    async def has_waiting(self, count: int) -> None:
        """Wait until so many refusals have begun to wait."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(self.pauses) >= count)

    def refuse(self, times: int = 1, caller: Caller | None = STRANGER) -> None:
        """Count refusals of a caller."""
        for _ in range(times):
            self.throttle.count(caller, BAD)

    def is_stopped(self, caller: Caller | None = STRANGER) -> bool:
        """Return whether a caller is refused before its credentials are read."""
        try:
            self.throttle.check(caller)
        except RateLimited:
            return True
        return False

    def is_slowed(self, caller: Caller | None = STRANGER) -> bool:
        """Return whether a refusal of this caller is delayed."""

        async def wait() -> bool:
            self.may_go_on.set()
            before = len(self.pauses)
            await self.throttle.hold_back(caller)
            return len(self.pauses) > before

        return asyncio.run(wait())


def test_slows_at_the_first_threshold_and_stops_at_the_second() -> None:
    """A typing error costs nothing; guessing costs more and more (requirement 97)."""
    scene = Scene(slow_after=3, stop_after=10)
    outcomes = []
    for _ in range(11):
        outcomes.append((scene.is_slowed(), scene.is_stopped()))
        scene.refuse()

    assert outcomes == [(False, False)] * 3 + [(True, False)] * 7 + [(True, True)]


def test_another_address_is_not_concerned() -> None:
    """Neither is one who is known, at the same address: an office shares one."""
    scene = Scene()
    scene.refuse(20)

    assert scene.is_stopped(STRANGER)
    assert not scene.is_stopped("192.0.2.8")
    assert not scene.is_stopped(("https://issuer.test", "alice"))


def test_counts_decay_and_do_not_start_anew() -> None:
    """After a minute of nothing a third of it is left; a fixed window could be hit twice."""
    scene = Scene(slow_after=10, stop_after=100)
    scene.refuse(200)

    scene.now = 30.0
    assert scene.is_stopped()
    scene.now = 60.0
    assert not scene.is_stopped()
    assert scene.is_slowed()
    scene.now = 240.0
    assert not scene.is_slowed()


def test_a_steady_rate_comes_to_itself() -> None:
    """The settings are refusals a minute: 50 a minute never reach 60, 70 do."""
    for rate, slowed in ((50, False), (70, True)):
        scene = Scene(slow_after=60, stop_after=600)
        for number in range(10 * rate):
            scene.now = number * 60 / rate
            scene.refuse()

        assert scene.is_slowed() is slowed


def test_who_goes_on_trying_is_not_shut_out_for_ever() -> None:
    """Being stopped is not counted, nor what is our fault: else one client shuts out its office."""
    scene = Scene(stop_after=10)
    scene.refuse(11)
    for error in (RateLimited("m"), PolicyUnavailable("m")):
        for _ in range(100):
            scene.throttle.count(STRANGER, error)

    scene.now = 15.0
    assert not scene.is_stopped()


def test_one_who_is_known_is_stopped_by_name() -> None:
    """Trying one item after the other with a good token is guessing too."""
    scene = Scene(stop_after=10)
    alice, bob = ("https://issuer.test", "alice"), ("https://issuer.test", "bob")
    for _ in range(11):
        scene.throttle.count(alice, Forbidden("m"))

    assert scene.is_stopped(alice)
    assert not scene.is_stopped(bob)


@pytest.mark.parametrize(
    ("host", "caller"),
    [
        pytest.param("192.0.2.7", "192.0.2.7", id="ipv4"),
        pytest.param("::ffff:192.0.2.7", "192.0.2.7", id="ipv4-in-ipv6"),
        pytest.param("2001:db8:0:1::7", "2001:db8:0:1::/64", id="ipv6"),
        pytest.param("2001:db8:0:1:ffff::9", "2001:db8:0:1::/64", id="ipv6-of-the-same-site"),
        pytest.param("fe80::1%eth0", "fe80::/64", id="ipv6-with-zone"),
        pytest.param("testclient", "unknown", id="no-address"),
        pytest.param("x" * 60_000, "unknown", id="no-address-and-long"),
        pytest.param("127.0.0.1", None, id="this-machine"),
        pytest.param("::1", None, id="this-machine-6"),
        pytest.param("::ffff:127.0.0.1", None, id="this-machine-in-ipv6"),
        pytest.param(None, None, id="unix-socket"),
    ],
)
def test_counts_by_what_a_stranger_cannot_choose(host: str | None, caller: str | None) -> None:
    """Who has one IPv6 address has 2**64; and a proxy on this machine speaks for everybody."""
    throttle = Scene(3, 10, "127.0.0.0/8", "::1").throttle

    assert throttle.caller(host) == caller


@pytest.mark.parametrize(
    ("step", "sites", "stopped"),
    [
        pytest.param("2001:db8:0:{:x}::1", 158, False, id="fifteen-of-sixteen-parts"),
        pytest.param("2001:db8:0:{:x}::1", 161, True, id="all-of-a-block"),
        pytest.param("2001:db8:{:x}::1", 161, False, id="blocks-of-others"),
        pytest.param("192.0.2.{}", 161, False, id="ipv4"),
        pytest.param("host{}/64", 12, True, id="no-addresses"),
    ],
)
def test_a_block_of_addresses_is_no_way_around_it(step: str, sites: int, stopped: bool) -> None:
    """Anyone who has a /48 has 65,536 addresses to guess from: all together have sixteen shares."""
    scene = Scene(slow_after=3, stop_after=10)
    for number in range(1, sites):
        scene.refuse(1, scene.throttle.caller(step.format(number)))
    fresh = scene.throttle.caller(step.format(0))

    assert scene.is_stopped(fresh) is stopped
    assert not scene.is_stopped(scene.throttle.caller("2001:db9::1"))


def test_a_block_cannot_push_others_out_of_the_counts() -> None:
    """It is stopped before its addresses fill the room, and being stopped is not counted."""
    most = DEFAULT_STOP * BLOCK_SHARE

    assert 2 * most < module.MAX_COUNTED


def test_a_caller_that_is_exempt_is_never_counted() -> None:
    """The twin of all that is counted above."""
    scene = Scene()
    scene.refuse(100, None)

    assert not scene.is_stopped(None)
    assert not scene.is_slowed(None)


def test_waits_at_random_within_a_second() -> None:
    """The wait must tell nothing of what was found wrong, and hold nothing for long."""
    scene = Scene()
    scene.refuse(5)
    for scene.drawn in (0.0, 0.5, 1.0):
        assert scene.is_slowed()

    assert scene.pauses == [SHORTEST_WAIT, (SHORTEST_WAIT + LONGEST_WAIT) / 2, LONGEST_WAIT]


def test_so_many_refusals_wait_and_no_more() -> None:
    """Delayed refusals must not hold connection slots, or a flood would use them all up."""
    scene = Scene()
    scene.refuse(5)

    async def flood() -> tuple[int, int]:
        waits = [
            asyncio.create_task(scene.throttle.hold_back(STRANGER)) for _ in range(MAX_WAITING)
        ]
        await scene.has_waiting(MAX_WAITING)
        await scene.throttle.hold_back(STRANGER)  # at once, or this test hangs
        full = len(scene.pauses)
        waits[0].cancel()
        await asyncio.wait(waits[:1])
        waits.append(asyncio.create_task(scene.throttle.hold_back(STRANGER)))
        await scene.has_waiting(MAX_WAITING + 1)
        scene.may_go_on.set()
        await asyncio.wait(waits)
        return full, len(scene.pauses)

    assert asyncio.run(flood()) == (MAX_WAITING, MAX_WAITING + 1)


def test_remembers_so_many_strangers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one longest not refused is forgotten; who is refused now is not."""
    monkeypatch.setattr(module, "MAX_COUNTED", 2)
    scene = Scene(stop_after=2)
    for caller in ("a", "b", "a", "b", "a", "c"):
        scene.refuse(1, caller)

    assert [scene.is_stopped(caller) for caller in "abc"] == [True, False, False]


@pytest.mark.parametrize(("slow_after", "stop_after"), [(0, 0), (0, 5), (5, 0)])
def test_nothing_is_a_threshold_of_none(slow_after: int, stop_after: int) -> None:
    """Each can be turned off alone, and both are for who uses `auth` without settings."""
    scene = Scene(slow_after, stop_after)
    scene.refuse(100)

    assert scene.is_slowed() is bool(slow_after)
    assert scene.is_stopped() is bool(stop_after)


def test_tells_how_many_were_counted_held_back_and_stopped() -> None:
    """For figures: what is off counts nothing."""
    scene, off = Scene(slow_after=1, stop_after=2), Scene(0, 0)
    scene.may_go_on.set()
    scene.refuse(2)
    off.refuse(2)
    asyncio.run(scene.throttle.hold_back(STRANGER))
    stopped = [scene.is_stopped(), scene.is_stopped("198.51.100.1")]

    assert stopped == [True, False]
    counted = scene.throttle
    assert (counted.counted, counted.held_back, counted.stopped) == (2, 1, 1)
    assert (off.throttle.counted, off.throttle.held_back, off.throttle.stopped) == (0, 0, 0)


def test_a_count_falls_by_the_minute() -> None:
    """The settings are per minute: after one, a count has fallen to 1/e of what it was."""
    count = _Count(100.0, at=7.0)

    assert count.now(7.0) == 100.0
    assert count.now(67.0) == pytest.approx(100 / math.e)


def test_is_calm_until_somebody_is_refused() -> None:
    """Most servers need not even look at an address."""
    scene = Scene()
    before = scene.throttle.is_calm
    scene.refuse()

    assert before is True
    assert scene.throttle.is_calm is False
