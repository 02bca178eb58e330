"""What may run side by side, what must be alone, and in which order they begin."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.sessions.ordered_gate import OrderedGate


class Watched:
    """Turns of which it is noted what has begun."""

    def __init__(self, width: int) -> None:
        self.turns = OrderedGate(width)
        self.begun: list[str] = []

    def ask(self, name: str, *, alone: bool = False) -> None:
        """Ask for something that goes on until it is told to be done."""
        self.turns.submit(lambda: self.begun.append(name), exclusive=alone)


def test_begins_so_many_at_a_time() -> None:
    """A client that joins a hundred items at once asks a policy eight at a time."""
    watched = Watched(2)
    for name in "abc":
        watched.ask(name)
    at_first = list(watched.begun)
    watched.turns.done()

    assert (at_first, watched.begun) == (["a", "b"], ["a", "b", "c"])


def test_begins_what_must_be_alone_when_nothing_runs_and_nothing_beside_it() -> None:
    """A join worked out by the old token must not be applied after the new one (requirement 69)."""
    watched = Watched(2)
    watched.ask("join")
    watched.ask("refresh", alone=True)
    watched.ask("late join")
    steps = [list(watched.begun)]
    for _ in range(2):
        watched.turns.done()
        steps.append(list(watched.begun))

    assert steps == [["join"], ["join", "refresh"], ["join", "refresh", "late join"]]


def test_takes_thousands_that_are_done_at_once() -> None:
    """What is answered within the call must not pile up on the stack."""
    turns = OrderedGate(1)
    done: list[int] = []

    def begin(number: int) -> Callable[[], None]:
        def run() -> None:
            done.append(number)
            turns.done()

        return run

    def ask_for_all() -> None:
        for number in range(5000):
            turns.submit(begin(number))

    turns.submit(ask_for_all)
    turns.done()

    assert done == list(range(5000))


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4))
def test_begins_everything_in_the_order_it_was_asked(alone: list[bool], width: int) -> None:
    """Nobody is overtaken, so nobody waits for ever."""
    watched = Watched(width)
    for number, is_alone in enumerate(alone):
        watched.ask(str(number), alone=is_alone)
    for _ in alone:
        watched.turns.done()

    assert watched.begun == [str(number) for number in range(len(alone))]
