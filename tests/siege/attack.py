"""What an attack is: what it does, what it needs, what it may cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from tests.siege.door import Door

NOTHING: Final = "nothing"
TOKEN: Final = "a token"


class Order(msgspec.Struct, frozen=True):
    """What an attacker is told to do."""

    verb: Literal["prepare", "run", "leave"]
    name: str
    seconds: float = 0.0
    is_neighbour_judged: bool = False


class Outcome(msgspec.Struct):
    """What an attacker saw in one round."""

    faults: list[str] = []
    """What the server should not have done, a line each."""

    cpu_ratio: float | None = None
    """CPU time of a request, by that of what it is compared with in the same round."""

    left_out: list[str] = []
    """What could not be tried here, and why."""

    accepted: int = 0
    """Requests whose credential was good: each may log what becomes of its caller."""

    notes: dict[str, float] = {}
    """Figures that are printed and not judged."""


class Attack(ABC):
    """One attack; its rounds are alike, and each ends with no connection left open."""

    def prepare(self, door: Door) -> None:  # noqa: B027 - most attacks need nothing
        """Do what is no part of the attack, ahead of the first round."""

    @abstractmethod
    def run(self, door: Door, seconds: float) -> Outcome:
        """Attack for about so long."""

    def leave(self) -> None:  # noqa: B027 - most attacks hold nothing
        """Let go of what `prepare` opened."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an attack may cost."""

    peak_mib: float = 20
    growth_mib: float = 3  # of the second round, and of the third
    cpu_ratio: float = 5
    log_kib: float = 64  # of all rounds, and half a KiB for each accepted request
    delay_ms: float = 10  # of a neighbour's p99, or twice what it is without the attack
    is_neighbour_judged: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """An attack in the table."""

    name: str
    needs: str
    make: Callable[[], Attack]
    bounds: Bounds = Bounds()
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    files: int = 0
    """Descriptors that the server may have; 0: as many as we may."""

    most_rounds: int = 3
    short_rounds: int = 2
    """Rounds in the suite: 1 where a round takes seconds, however little it does in them."""
