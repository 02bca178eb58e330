"""The result of a measure, and the median of several."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

# The share of processor time from which the load generator may have limited the figure. In a closed
# loop it counts from less on, because server and generator wait for each other in turn.
BUSY: Final = 0.9
BUSY_IN_A_LOOP: Final = 0.6
GENERATOR_LIMIT: Final = (
    "the load generator itself was busy most of the time: the server may be faster than this"
)


@dataclass(frozen=True, slots=True)
class Result:
    """One measure: its setting, its figures, and what was wrong."""

    measure: str
    setting: dict[str, float]
    figures: dict[str, float]
    problems: tuple[str, ...] = ()
    """Why the figures cannot be trusted: messages that were lost, connections that ended."""

    notes: tuple[str, ...] = field(default=())
    """What a reader of the figures needs to know."""


def busy_note(busy: float, limit: float = BUSY) -> tuple[str, ...]:
    """Return a note if the load generator, and not only the server, limited the figure."""
    return (GENERATOR_LIMIT,) if busy > limit else ()


def median_of(results: Sequence[Result]) -> Result:
    """Return the median of each figure, with the problems and notes of all results."""
    first = results[0]
    return Result(
        measure=first.measure,
        setting=first.setting,
        figures={
            name: statistics.median(one.figures[name] for one in results if name in one.figures)
            for name in first.figures
        },
        problems=_once(text for result in results for text in result.problems),
        notes=_once(text for result in results for text in result.notes),
    )


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
