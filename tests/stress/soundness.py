"""The result of a run: whether every promise was kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.stress.clients import Position, Publisher, Unsound, Watcher


@dataclass(slots=True)
class Outcome:
    """The logs of a run, and how often it broke what must leave its traces in them."""

    watchers: list[Watcher]
    publishers: list[Publisher]
    wipes: int  # of the store: each begins a new epoch
    kills: int  # of nodes: each breaks sockets
    growth: int = 0  # of a node's memory, in bytes, while its engine was away
    slowest: dict[str, tuple[float, str]] = field(default_factory=dict)  # until red, or so: seconds

    def check(self) -> str:
        """Compare all logs with each other and with what was acknowledged; sum it up."""
        acknowledged = {
            data: position for one in self.publishers for data, position in one.acknowledged.items()
        }
        truth = _truth_of(self.watchers)
        for data, position in acknowledged.items():
            if truth.get(position, data) != data:
                raise Unsound(
                    f"{position} was acknowledged as {data} and heard as {truth[position]}"
                )
        for watcher in self.watchers:
            _check_order(watcher)
            _check_complete(watcher, acknowledged)
            self._check_told(watcher)
        return (
            f"{len(acknowledged)} acknowledged after at most "
            f"{max(one.slowest for one in self.publishers):.2f} s, {self.refused} refused, "
            f"{len(truth)} heard by {len(self.watchers)} watchers, {self.resumed} resumes, "
            f"{sum(len(one.losses) for one in self.watchers)} told of loss, {self.wipes} wipes, "
            f"{self.kills} kills, at most {self.growth >> 20} MiB more while the engine was away"
            + "".join(
                f", {change} after {seconds:.1f} s ({fault})"
                for change, (seconds, fault) in self.slowest.items()
            )
        )

    @property
    def acknowledged(self) -> int:
        """Count the messages that were answered as stored."""
        return sum(len(one.acknowledged) for one in self.publishers)

    @property
    def refused(self) -> int:
        """Count the answers that said to try again."""
        return sum(one.refused for one in self.publishers)

    @property
    def resumed(self) -> int:
        """Count the times that a watcher came back and had missed nothing."""
        return sum(one.resumed for one in self.watchers)

    def _check_told(self, watcher: Watcher) -> None:
        """See that it was told of no more than there was, and its socket ended for a reason."""
        if len(watcher.losses) > self.wipes:
            raise Unsound(f"{watcher.name} was told of {watcher.losses}, for {self.wipes} wipes")
        broken = watcher.ends[""]
        if set(watcher.ends) - {"", "slow_consumer"} or broken > self.kills:
            raise Unsound(f"{watcher.name} had its sockets ended by {watcher.ends}")


def _truth_of(watchers: list[Watcher]) -> dict[Position, Any]:
    """Put all logs together: where two differ there is no truth."""
    truth: dict[Position, Any] = {}
    for watcher in watchers:
        for position, data in watcher.log.items():
            if truth.setdefault(position, data) != data:
                raise Unsound(
                    f"{position} is {data} to {watcher.name} and {truth[position]} before"
                )
    return truth


def _check_order(watcher: Watcher) -> None:
    """See that nothing was published twice: by one data, at two positions of an epoch."""
    seen: dict[tuple[str, Any], int] = {}
    for (epoch, offset), data in watcher.log.items():
        if seen.setdefault((epoch, data), offset) != offset:
            raise Unsound(f"{data} is at {seen[epoch, data]} and at {offset} of {epoch}")


def _check_complete(watcher: Watcher, acknowledged: Mapping[str, Position]) -> None:
    """See that it heard all that was acknowledged, but what it was told that it lost."""
    for data, position in acknowledged.items():
        if position not in watcher.log and not _was_told(watcher, position):
            raise Unsound(f"{watcher.name} never heard of {data} at {position}")


def _was_told(watcher: Watcher, position: Position) -> bool:
    epoch, offset = position
    for (before, last), (after, first) in watcher.losses:
        if epoch == before == after:
            is_lost = last < offset <= first
        else:
            is_lost = (epoch == before and offset > last) or (epoch == after and offset <= first)
        if is_lost:
            return True
    # A whole life of the store that it knows nothing of: it began and ended between two others.
    known = {epoch for loss in watcher.losses for epoch, _ in loss}
    return bool(known) and epoch not in known
