"""The short form of `python -m tests.siege`: what each attack may cost a server.

A neighbour's delays are left to the command, for they are those of the machine here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.siege.attack import Row
from tests.siege.attacking import Attacker, attacking
from tests.siege.attacks import ATTACKS, ROWS
from tests.siege.besieging import Plan, besiege
from tests.siege.server import Besieged, besieged
from tests.siege.verdicts import broken

PLAN: Final = Plan(rounds=2, seconds=0.2, cpu_margin=2, has_neighbour=False)
ALL_SETTINGS: Final = {name: value for row in ROWS for name, value in row.settings.items()}

EXPECTED_OPEN: Final = (
    "A4 streams",  # memory holds; three lines are logged for each of its streams
    "A3 kept open",  # memory, time and descriptors hold; lazy imports fail and fill the log
    "A5 query",
    "A5 query, HTTP",
    "A5 escapes",
    "A5 subprotocols",
    "A5 cookies",
    "A5 stopped",
    "A7 lingering",
    "A8 tickets",
    "A9 padded sockets",
    "B1 replay unread",
    "B2 join races",
    "B3 amplified",
    "B4 poison",
)
"""Attacks whose fault is not mended yet. Whoever mends it takes its line out."""

MENDED: Final = [row for row in ROWS if row.name not in EXPECTED_OPEN]


@dataclass(slots=True)
class Field:
    """Servers that are attacked one attack after another, by how many files they may open."""

    stack: ExitStack
    sides: dict[int, tuple[Besieged, Attacker]] = field(default_factory=dict)

    def sides_of(self, row: Row) -> tuple[Besieged, Attacker]:
        """Return a server for an attack, and who attacks it."""
        if row.files not in self.sides:
            server = self.stack.enter_context(besieged(ALL_SETTINGS, row.files))
            self.sides[row.files] = server, self.stack.enter_context(attacking(server))
        return self.sides[row.files]


@pytest.fixture(scope="module")
def battlefield() -> Iterator[Field]:
    """Start each server once: that takes longer than most attacks."""
    with ExitStack() as stack:
        yield Field(stack)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in MENDED])
def test_an_attack_costs_no_more_than_its_bounds(battlefield: Field, row: Row) -> None:
    """Memory, descriptors, CPU, log lines, and what others see of it."""
    report = asyncio.run(besiege(*battlefield.sides_of(row), row, PLAN))

    assert broken(report, PLAN) == []


def test_what_is_open_is_an_attack() -> None:
    """A line that names none would hide nothing and stay for ever."""
    assert set(EXPECTED_OPEN) <= set(ATTACKS)
