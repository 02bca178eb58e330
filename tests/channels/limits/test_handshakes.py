"""HandshakeRate: clients at a human pace are let in, a storm is held to the limit."""

from __future__ import annotations

import pytest

from itemwire.channels.limits import handshakes as module
from itemwire.channels.limits.handshakes import HandshakeLimits, HandshakeRate
from itemwire.close_reasons import OVERLOADED, RATE_LIMITED
from itemwire_auth.addresses import parse_networks
from tests.fakes import Clock

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()


def came(handshake_rate: HandshakeRate, times: int, host: str | None = HERE) -> int:
    """Come so often, and tell how often one was taken on."""
    return sum(handshake_rate.admit(host) is None for _ in range(times))


def test_an_address_may_come_so_often(clock: Clock) -> None:
    """Two seconds' worth at once, then the rate; another has its own (requirement 96)."""
    handshake_rate = HandshakeRate(HandshakeLimits(per_address=10), clock)

    assert came(handshake_rate, 30) == 20
    assert handshake_rate.admit(HERE) is RATE_LIMITED
    assert came(handshake_rate, 30, ELSEWHERE) == 20
    clock.now += 1
    assert came(handshake_rate, 30) == 10
    assert handshake_rate.refused == {"rate": 0, "address_rate": 41}


def test_so_many_may_come_in_all(clock: Clock) -> None:
    """Whichever clients they are, and wherever they come from (requirement 96)."""
    handshake_rate = HandshakeRate(HandshakeLimits(total=10), clock)

    assert sum(came(handshake_rate, 1, f"192.0.2.{n}") for n in range(30)) == 20
    assert handshake_rate.admit(None) is OVERLOADED
    clock.now += 0.5
    assert came(handshake_rate, 30, None) == 5
    assert handshake_rate.tracked == 0


def test_who_comes_too_often_takes_nothing_from_the_others(clock: Clock) -> None:
    """Else one client in a loop would shut everybody out."""
    handshake_rate = HandshakeRate(HandshakeLimits(total=10, per_address=1), clock)

    assert came(handshake_rate, 1000) == 2
    assert came(handshake_rate, 1, ELSEWHERE) == 1


def test_who_keeps_to_the_rate_is_never_refused(clock: Clock) -> None:
    """The accepted twin: for as long as it likes."""
    handshake_rate = HandshakeRate(HandshakeLimits(total=10, per_address=10), clock)
    for _ in range(1000):
        clock.now += 0.1001
        assert handshake_rate.admit(HERE) is None


@pytest.mark.parametrize("rate", [0.1, 0.4, 1])
def test_a_slow_rate_still_lets_one_in(clock: Clock, rate: float) -> None:
    """One handshake may be worth more than two seconds."""
    handshake_rate = HandshakeRate(HandshakeLimits(total=rate, per_address=rate), clock)

    assert came(handshake_rate, 10) == max(2 * rate, 1)
    clock.now += 1 / rate + 0.001
    assert came(handshake_rate, 1) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_this_machine_may_come_as_often_as_it_likes(clock: Clock, host: str | None) -> None:
    """A proxy that tells no address speaks for everybody; in all, it counts."""
    exempt = parse_networks(["127.0.0.0/8", "::1"])
    handshake_rate = HandshakeRate(HandshakeLimits(total=100, per_address=1, exempt=exempt), clock)

    assert came(handshake_rate, 300, host) == 200
    assert handshake_rate.tracked == 0


def test_without_limits_nobody_is_counted(clock: Clock) -> None:
    """And nothing is kept."""
    handshake_rate = HandshakeRate(clock=clock)

    assert came(handshake_rate, 1000) == 1000
    assert handshake_rate.tracked == 0


def test_a_block_of_addresses_is_no_way_around_it(clock: Clock) -> None:
    """Anyone who has a /48 has 65,536 addresses; all have sixteen times as much as one."""
    handshake_rate = HandshakeRate(HandshakeLimits(per_address=1), clock)

    assert sum(came(handshake_rate, 1, f"2001:db8::{n:x}") for n in range(100)) == 2
    assert sum(came(handshake_rate, 1, f"2001:db8:0:{n:x}::1") for n in range(1, 100)) == 30
    assert came(handshake_rate, 1, "2001:db8:1::1") == 1


def test_who_has_been_gone_for_long_enough_is_forgotten(clock: Clock) -> None:
    """Once the bucket is full again there is nothing to remember."""
    handshake_rate = HandshakeRate(HandshakeLimits(per_address=10), clock)
    for number in range(100):
        came(handshake_rate, 1, f"192.0.2.{number}")
    assert handshake_rate.tracked == 100

    clock.now += 1
    came(handshake_rate, 1)

    assert handshake_rate.tracked == 1


def test_no_more_addresses_are_remembered_than_there_is_room_for(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A botnet cannot fill the memory; who was seen last is still known."""
    monkeypatch.setattr(module, "MAX_ADDRESSES", 50)
    handshake_rate = HandshakeRate(HandshakeLimits(per_address=1), clock)
    for number in range(500):
        came(handshake_rate, 2, f"10.0.{number // 250}.{number % 250}")

    assert handshake_rate.tracked == 50
    assert came(handshake_rate, 1, "10.0.1.249") == 0
