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
from tests.siege.attacks import ROWS
from tests.siege.besieging import Plan, besiege
from tests.siege.server import Besieged, besieged
from tests.siege.verdicts import broken

PLAN: Final = Plan(rounds=2, seconds=0.2, cpu_margin=2, growth_mib=3, has_neighbour=False)
ALL_SETTINGS: Final = {name: value for row in ROWS for name, value in row.settings.items()}


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


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_an_attack_costs_no_more_than_its_bounds(battlefield: Field, row: Row) -> None:
    """Memory, descriptors, CPU, log lines, and what others see of it."""
    report = asyncio.run(besiege(*battlefield.sides_of(row), row, PLAN))

    assert broken(report, PLAN) == []
