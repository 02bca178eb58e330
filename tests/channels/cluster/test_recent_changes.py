"""Who came to a channel or left it after a number: known for the last few, or not at all."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.recent_changes import MOST_REMEMBERED, RecentChanges


@pytest.mark.parametrize(
    ("number", "listed"),
    [
        pytest.param(3, None, id="before-what-is-remembered"),
        pytest.param(4, ["b", "a", "c"], id="from-its-begin-on"),
        pytest.param(5, ["b", "a", "c"], id="once-and-with-the-last-number"),
        pytest.param(6, ["a", "c"], id="after-one"),
        pytest.param(9, [], id="after-all"),
        pytest.param(50, [], id="a-number-that-is-to-come"),
    ],
)
def test_lists_who_came_or_left_after_a_number(number: int, listed: list[str] | None) -> None:
    """What happened with the number itself is known to who heard it."""
    recent = RecentChanges(4)
    recent.add(["a"], 5)
    recent.add(["b"], 6)
    recent.add(["a", "c"], 9)

    assert recent.after(number) == listed


@pytest.mark.parametrize("at_once", [1, MOST_REMEMBERED])
def test_remembers_so_many_and_tells_that_it_forgot(at_once: int) -> None:
    """Of those that came with one number some may be forgotten: then it lists none of them."""
    recent = RecentChanges(0)
    names = [f"c{number}" for number in range(MOST_REMEMBERED + 1)]
    for number in range(0, len(names), at_once):
        recent.add(names[number : number + at_once], number + 1)

    assert recent.after(0) is None
    assert recent.after(at_once) == names[at_once:]
