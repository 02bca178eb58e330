"""What came of a run: every log beside what was acknowledged, and when clients came back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

Place = tuple[str, int]  # epoch, offset

WINDOW_SECONDS: Final = 0.1
MOST_SHARE: Final = 0.05  # of the clients, in one window
LEAST_CLIENTS: Final = 400  # with fewer, chance alone puts more than that into some window


@dataclass(frozen=True, slots=True)
class Break:
    """A break of all connections: what it was, its begin, and when all were back."""

    kind: str
    begin: float
    end: float


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
    attempts: list[float]
    unconfirmed: int
    errors: Counter[str] = field(default_factory=Counter[str])

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
        attempts = sorted(one for each in told for one in each["attempts"])
        unconfirmed = sum(one["unconfirmed"] for each in told for one in each["logs"])
        errors = Counter[str]()
        for each in told:
            errors.update(each["errors"])
        return cls(by_item, logs, breaks, attempts, unconfirmed, errors)

    def faults(self) -> list[str]:
        """List all that must not be."""
        found = [
            fault for log in self.logs for fault in log.faults(self.acknowledged.get(log.item, {}))
        ]
        if len(self.logs) >= LEAST_CLIENTS:
            found += [
                f"{share:.1%} of the clients came back within {WINDOW_SECONDS:g} s after a {kind}"
                for kind, share in self.crowds()
                if share > MOST_SHARE
            ]
        return found

    def crowds(self) -> list[tuple[str, float]]:
        """Return for each break the largest share of the clients that any window holds."""
        return [
            (one.kind, densest(self._attempts_after(one)) / len(self.logs)) for one in self.breaks
        ]

    def _attempts_after(self, one: Break) -> list[float]:
        return [moment for moment in self.attempts if one.begin <= moment <= one.end]

    def summary(self) -> str:
        """Say in lines what was done."""
        kinds = Counter(one.kind for one in self.breaks)
        crowds = self.crowds()
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
        ]
        for kind in kinds:
            shares = sorted(share for name, share in crowds if name == kind)
            took = max(one.end - one.begin for one in self.breaks if one.kind == kind)
            lines.append(
                f"{kind}: at most {shares[-1]:.1%} of the clients within {WINDOW_SECONDS:g} s, "
                f"{shares[len(shares) // 2]:.1%} in the median; all back after {took:.1f} s"
            )
        lines += [f"{times:6} {error}" for error, times in self.errors.most_common(8)]
        return "\n".join(lines)


def _repeated(values: Sequence[object]) -> list[object]:
    return [value for value, times in Counter(values).items() if times > 1]


def place_of(position: str) -> Place:
    """Read a position, `<epoch>:<offset>`."""
    epoch, _, offset = position.partition(":")
    return epoch, int(offset)


def densest(moments: Sequence[float]) -> int:
    """Return the most of these moments, in their order, that any window holds."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= WINDOW_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most
