"""Tests of ticket_limits.py: a rate and a bound for each subject, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from itemwire_auth import ticket_limits
from itemwire_auth.errors import RateLimited
from itemwire_auth.ticket_limits import TicketAllowances, TicketLimits

ALICE = (None, "alice")
BOB = (None, "bob")
LIFE = 30.0


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def issued(
    allowances: TicketAllowances, identity: tuple[None, str] = ALICE, most: int = 1000
) -> int:
    """Ask for tickets until one is refused; return how many there were."""
    for number in range(most):
        try:
            allowances.spend(identity, LIFE)
        except RateLimited:
            return number
    return most


def test_gives_two_seconds_worth_at_once_and_then_the_rate() -> None:
    """So a client that opens several sockets gets all of their tickets (requirement 125)."""
    clock = Clock()
    allowances = TicketAllowances(TicketLimits(rate=5), clock)

    assert issued(allowances) == 10
    clock.now += 1
    assert issued(allowances) == 5
    clock.now += 3600
    assert issued(allowances) == 10


def test_a_rate_below_one_a_second_gives_one() -> None:
    """A bucket of two seconds would hold less than one ticket."""
    clock = Clock()
    allowances = TicketAllowances(TicketLimits(rate=0.1), clock)

    assert issued(allowances) == 1
    clock.now += 10
    assert issued(allowances) == 1


def test_unused_tickets_are_bounded_until_they_expire() -> None:
    """However slowly they are asked for."""
    clock = Clock()
    allowances = TicketAllowances(TicketLimits(unused=3), clock)

    assert issued(allowances) == 3
    clock.now += LIFE - 0.1
    assert issued(allowances) == 0
    clock.now += 0.1
    assert issued(allowances) == 3


def test_a_ticket_that_is_used_makes_room() -> None:
    """The twin: who uses its tickets never meets the bound."""
    allowances = TicketAllowances(TicketLimits(unused=3), Clock())

    for _ in range(50):
        allowances.spend(ALICE, LIFE)
        allowances.release(ALICE)
    assert issued(allowances) == 3


def test_a_refused_ticket_costs_nothing() -> None:
    """Otherwise a client that asks in a loop would never get one again."""
    clock = Clock()
    allowances = TicketAllowances(TicketLimits(rate=5, unused=4), clock)

    assert [issued(allowances) for _ in range(20)] == [4, *[0] * 19]
    allowances.release(ALICE)
    assert issued(allowances) == 1


def test_one_subject_takes_nothing_from_another() -> None:
    """Nor does the same name of another issuer."""
    allowances = TicketAllowances(TicketLimits(rate=5, unused=3), Clock())

    assert [issued(allowances), issued(allowances, BOB)] == [3, 3]
    allowances.spend(("https://issuer.example", "alice"), LIFE)


def test_remembers_a_bounded_number_of_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that asked least recently is forgotten."""
    monkeypatch.setattr(ticket_limits, "MAX_SUBJECTS", 2)
    allowances = TicketAllowances(TicketLimits(unused=1), Clock())

    for name in ("alice", "bob", "carol"):
        allowances.spend((None, name), LIFE)
    allowances.release((None, "nobody"))

    assert issued(allowances, (None, "carol")) == 0
    assert issued(allowances, ALICE) == 1


def test_without_limits_nothing_is_counted() -> None:
    """By default, for whoever uses `itemwire_auth` alone."""
    assert issued(TicketAllowances(), most=500) == 500
