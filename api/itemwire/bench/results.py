"""What a measure found, and the middle one of several."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

BUSY: Final = 0.9
BUSY_IN_A_LOOP: Final = (
    0.6  # server and generator wait for each other: both times are in the figure
)
GENERATOR_LIMIT: Final = (
    "the load generator itself was busy most of the time: the server may be faster than this"
)


@dataclass(frozen=True, slots=True)
class Result:
    """One measure: how it was set, what it found, and what was wrong."""

    measure: str
    setting: dict[str, float]
    figures: dict[str, float]
    problems: tuple[str, ...] = ()
    """Why the figures cannot be trusted: messages that were lost, connections that ended."""

    notes: tuple[str, ...] = field(default=())
    """What a reader of the figures should know."""


def busy_note(busy: float, limit: float = BUSY) -> tuple[str, ...]:
    """Say so if the generator was a limit, not only the server."""
    return (GENERATOR_LIMIT,) if busy > limit else ()


def median_of(results: Sequence[Result]) -> Result:
    """Give the median of each figure, with the problems and notes of all."""
    first = results[0]
    return Result(
        measure=first.measure,
        setting=first.setting,
        figures={
            name: statistics.median(result.figures[name] for result in results)
            for name in first.figures
        },
        problems=_once(text for result in results for text in result.problems),
        notes=_once(text for result in results for text in result.notes),
    )


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
