"""How much work a model makes of a message, known when the channel is declared.

Whoever may publish chooses how deep a message is nested. Where a model tries several choices for a
value, and tries them again for each value inside, each level multiplies the work: 300 bytes could
hold the event loop for seconds. So a model is looked at before it checks anything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

MAX_WORK: Final = 2000
"""The most that a model may make of one value inside a message: about as many rules tried."""

MAX_ROOT_WORK: Final = 100 * MAX_WORK  # a message has one outermost value, and thousands inside

TOO_MUCH: Final = (
    "its choices multiply with each level of a message, so that a small message would keep the "
    "server busy: give them a discriminator, or let one of them alone lead to the values inside"
)
IN_CIRCLE: Final = "it refers to itself about the same value, and so says nothing"


@dataclass(eq=False, slots=True)
class Inside:
    """Steps on a value in an array or object: `each` and one of `one`, or one of `others`."""

    each: "list[Step]" = field(default_factory=list["Step"])
    one: "list[Step]" = field(default_factory=list["Step"])
    others: "list[Step]" = field(default_factory=list["Step"])


@dataclass(eq=False, slots=True)
class Step:
    """What is done to one value: `work`, further steps on it, and steps on the values in it.

    Of `either` only one is taken. Where it asks for what is `unevaluated`, those of `here` that are
    `tried` are tried once more, to find out what of the value they have described.
    """

    work: int = 1
    here: "list[Step]" = field(default_factory=list["Step"])
    tried: "list[Step]" = field(default_factory=list["Step"])
    either: "list[Step]" = field(default_factory=list["Step"])
    in_array: Inside = field(default_factory=Inside)
    in_object: Inside = field(default_factory=Inside)
    unevaluated: "list[Step]" = field(default_factory=list["Step"])


Work = tuple[int, int]
"""The work at one level of a message: inside an array, and inside an object. No value is both."""

NOTHING: Final[Work] = (0, 0)


def check_work(root: Step, depth: int) -> None:
    """Raise ValueError if a message nested to this depth could cost too much."""
    steps = _inner_first(root)
    inside: dict[Step, Work] = dict.fromkeys(steps, NOTHING)
    for level in range(depth + 1):
        now: dict[Step, Work] = {}
        marking: dict[Step, Work] = {}
        for step in steps:
            now[step] = _work_of(step, inside, now, marking, 0 if level else step.work)
        if max(now[root]) > (MAX_WORK if level else MAX_ROOT_WORK):
            raise ValueError(TOO_MUCH)
        # What is bounded comes to rest soon: work that returns at a deeper level counts from here.
        now = now if level < 2 else {step: _most((now[step], inside[step])) for step in steps}  # noqa: PLR2004
        if now == inside:
            return
        inside = now


def _work_of(
    step: Step,
    inside: Mapping[Step, Work],
    now: Mapping[Step, Work],
    marking: dict[Step, Work],
    own: int,
) -> Work:
    either = _most(now[one] for one in step.either)
    here = _sum(now[one] for one in step.here)
    again = _sum(
        (
            *(now[one] for one in step.tried),
            *(marking[one] for one in step.here),
            _most(marking[one] for one in step.either),
            *(inside[one] for one in step.in_array.each),
        )
    )
    marking[step] = _sum((again, *(inside[one] for one in step.unevaluated)))
    found = (own + _inside(inside, step.in_array), own + _inside(inside, step.in_object))
    return _sum((found, here, either, again if step.unevaluated else NOTHING))


def _inside(work: Mapping[Step, Work], steps: Inside) -> int:
    each = max(_sum(work[one] for one in steps.each)) if steps.each else 0
    known = each + max(_most(work[one] for one in steps.one)) if steps.one else each
    return max(known, *_most(work[one] for one in steps.others)) if steps.others else known


def _sum(works: Iterable[Work]) -> Work:
    arrays = objects = 0
    for one in works:
        arrays += one[0]
        objects += one[1]
    return min(arrays, _ENOUGH), min(objects, _ENOUGH)


def _most(works: Iterable[Work]) -> Work:
    arrays = objects = 0
    for one in works:
        arrays = max(arrays, one[0])
        objects = max(objects, one[1])
    return arrays, objects


_ENOUGH: Final = 1 << 40  # so that numbers stay small where work has no end


def _inner_first(root: Step) -> Sequence[Step]:
    """List all steps, each after those on the same value; ValueError for a circle."""
    is_listed: dict[Step, bool] = {}
    ordered: list[Step] = []
    outer = [root]
    while outer:
        waiting = [outer.pop()]
        while waiting:
            step = waiting[-1]
            if step not in is_listed:
                is_listed[step] = False
                waiting.extend(_unlisted(is_listed, (*step.here, *step.either)))
                continue
            waiting.pop()
            if not is_listed[step]:
                is_listed[step] = True
                ordered.append(step)
                for inside in (step.in_array, step.in_object):
                    outer.extend((*inside.each, *inside.one, *inside.others))
    return ordered


def _unlisted(is_listed: dict[Step, bool], steps: Iterable[Step]) -> Iterator[Step]:
    for one in steps:
        if one not in is_listed:
            yield one
        elif not is_listed[one]:
            raise ValueError(IN_CIRCLE)
