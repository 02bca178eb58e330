"""What came of a run: every log beside what was acknowledged, and when clients came back.

Whether they come apart is judged by the moments for which they had set their timers. A hundred of
them share a process here: when it stands still, they begin together, as clients of their own
machines never would. When they began is told, too, and the longest stand-still of any process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

Place = tuple[str, int]  # epoch, offset

WINDOW_SECONDS: Final = 0.1
MOST_SHARE: Final = 0.05  # of the attempts after a break, in one window
LEAST_CLIENTS: Final = 400  # with fewer, chance alone puts more than that into some window


@dataclass(frozen=True, slots=True)
class Break:
    """A break of all connections: what it was, its begin, and when all were back."""

    kind: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to connect: for when the client had set its timer, and when it began."""

    meant: float
    begun: float


@dataclass(frozen=True, slots=True)
class Comeback:
    """How close together clients came after a break, as a share of all attempts after it."""

    kind: str
    attempts: int
    meant: float
    begun: float
    seconds: float  # until all were back


@dataclass(slots=True)
class ClientLog:
    """What one client was told: messages as (epoch, offset, data), gaps as (epoch, from, to)."""

    name: str
    item: str
    start: Place
    entries: Sequence[tuple[str, int, object]]

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Read what a process of clients has told of one of them."""
        entries = [tuple(one) for one in told["log"]]
        return cls(told["name"], told["item"], place_of(told["start"]), entries)

    def faults(self, acknowledged: dict[Place, str]) -> Iterator[str]:
        """Compare it with what was acknowledged on its item from its start on."""
        heard = [((epoch, one), told) for epoch, one, told in self.entries if isinstance(told, str)]
        for place, text in heard:
            if acknowledged.get(place, text) != text:
                yield f"{self.name} heard {text!r} at {place}, not {acknowledged[place]!r}"
        places = [place for place, _ in heard]
        for one in (*_repeated(places), *_repeated([text for _, text in heard])):
            yield f"{self.name} heard {one!r} twice"
        own = [place for place in places if place[0] == self.start[0]]
        if own != sorted(own):
            yield f"{self.name} heard messages out of order"
        first, known = min([self.start, *own]), {*places, *self._told_lost()}
        for place, text in acknowledged.items():
            if place not in known and self._is_due(place, first):
                yield f"{self.name} lost {text!r} at {place} without a gap"

    def _is_due(self, place: Place, first: Place) -> bool:
        """Return whether it must have heard of it: its epoch was the client's, from here on."""
        epochs = {epoch for epoch, _, _ in self.entries} | {self.start[0]}
        return place > first if place[0] == first[0] else place[0] in epochs

    def _told_lost(self) -> set[Place]:
        gaps = [
            (epoch, first, told) for epoch, first, told in self.entries if isinstance(told, int)
        ]
        return {(epoch, one) for epoch, first, last in gaps for one in range(first, last + 1)}

    @property
    def gaps(self) -> int:
        """Count the gaps that it was told of."""
        return sum(isinstance(told, int) for _, _, told in self.entries)


@dataclass(slots=True)
class ClientOutcome:
    """All logs of a run, its breaks, and the moments at which clients began to connect."""

    acknowledged: dict[str, dict[Place, str]]
    logs: list[ClientLog]
    breaks: list[Break]
    attempts: list[Attempt]
    unconfirmed: int
    errors: Counter[str] = field(default_factory=Counter[str])
    stall: float = 0.0  # the longest time that a process of clients stood still

    @classmethod
    def of(
        cls,
        acknowledged: Iterable[tuple[str, str, str]],
        breaks: list[Break],
        told: Sequence[dict[str, Any]],
    ) -> Self:
        """Put together what the processes have told."""
        by_item: dict[str, dict[Place, str]] = {}
        for item, position, text in acknowledged:
            by_item.setdefault(item, {})[place_of(position)] = text
        logs = [ClientLog.of(one) for each in told for one in each["logs"]]
        attempts = [Attempt(*one) for each in told for one in each["attempts"]]
        unconfirmed = sum(one["unconfirmed"] for each in told for one in each["logs"])
        errors = Counter[str]()
        for each in told:
            errors.update(each["errors"])
        stall = max(each["stall"] for each in told)
        return cls(by_item, logs, breaks, attempts, unconfirmed, errors, stall)

    def faults(self) -> list[str]:
        """List all that must not be."""
        found = [
            fault for log in self.logs for fault in log.faults(self.acknowledged.get(log.item, {}))
        ]
        if len(self.logs) >= LEAST_CLIENTS:
            found += [
                f"{one.meant:.1%} of the attempts after a {one.kind} "
                f"fell within {WINDOW_SECONDS:g} s"
                for one in self.comebacks()
                if one.meant > MOST_SHARE
            ]
        return found

    def comebacks(self) -> list[Comeback]:
        """Return for each break the largest share of its attempts that any window holds."""
        return [self._after(one) for one in self.breaks]

    def _after(self, one: Break) -> Comeback:
        attempts = [each for each in self.attempts if one.begin <= each.begun <= one.end]
        most = max(len(attempts), 1)
        return Comeback(
            one.kind,
            len(attempts),
            densest([each.meant for each in attempts]) / most,
            densest([each.begun for each in attempts]) / most,
            one.end - one.begin,
        )

    def summary(self) -> str:
        """Say in lines what was done."""
        kinds = Counter(one.kind for one in self.breaks)
        lines = [
            (
                f"{len(self.logs)} clients, {sum(map(len, self.acknowledged.values()))} messages "
                f"acknowledged, {self.unconfirmed} times only when asked again"
            ),
            (
                f"{sum(len(log.entries) for log in self.logs)} heard, "
                f"{sum(log.gaps for log in self.logs)} gaps"
            ),
            f"{len(self.attempts)} attempts to connect; breaks: {dict(kinds)}",
            f"no process of clients stood still for more than {self.stall:.2f} s",
        ]
        lines += [self._summary_of(kind) for kind in kinds]
        lines += [f"{times:6} {error}" for error, times in self.errors.most_common(8)]
        return "\n".join(lines)

    def _summary_of(self, kind: str) -> str:
        after = [one for one in self.comebacks() if one.kind == kind]
        meant = sorted(one.meant for one in after)
        begun = sorted(one.begun for one in after)
        half = len(after) // 2
        return (
            f"{kind}: within {WINDOW_SECONDS:g} s at most {meant[-1]:.1%} of the attempts after "
            f"it, {meant[half]:.1%} in the median (as they began: {begun[-1]:.1%}, "
            f"{begun[half]:.1%}); all back after {max(one.seconds for one in after):.1f} s"
        )


def _repeated(values: Sequence[object]) -> list[object]:
    return [value for value, times in Counter(values).items() if times > 1]


def place_of(position: str) -> Place:
    """Read a position, `<epoch>:<offset>`."""
    epoch, _, offset = position.partition(":")
    return epoch, int(offset)


def densest(moments: Sequence[float]) -> int:
    """Return the most of these moments that any window holds."""
    most = first = 0
    ordered = sorted(moments)
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= WINDOW_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most
