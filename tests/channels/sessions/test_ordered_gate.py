"""Operations run side by side or exclusively, and begin in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.sessions.ordered_gate import OrderedGate, Turn


class Watched:
    """Turns of which it is noted what has begun."""

    def __init__(self, width: int) -> None:
        self.turns = OrderedGate(width)
        self.begun: list[str] = []
        self._running: deque[Turn] = deque()

    def ask(self, name: str, *, alone: bool = False) -> None:
        """Ask for something that goes on until it is told to be done."""

        def begin(turn: Turn) -> None:
            self.begun.append(name)
            self._running.append(turn)

        self.turns.submit(begin, exclusive=alone)

    def done(self) -> None:
        """End the operation that has run longest."""
        self._running.popleft().end()


def test_begins_so_many_at_a_time() -> None:
    """A client that joins a hundred items at once asks a policy eight at a time."""
    watched = Watched(2)
    for name in "abc":
        watched.ask(name)
    at_first = list(watched.begun)
    watched.done()

    assert (at_first, watched.begun) == (["a", "b"], ["a", "b", "c"])


def test_begins_what_must_be_alone_when_nothing_runs_and_nothing_beside_it() -> None:
    """A join worked out by the old token must not be applied after the new one (requirement 69)."""
    watched = Watched(2)
    watched.ask("join")
    watched.ask("refresh", alone=True)
    watched.ask("late join")
    steps = [list(watched.begun)]
    for _ in range(2):
        watched.done()
        steps.append(list(watched.begun))

    assert steps == [["join"], ["join", "refresh"], ["join", "refresh", "late join"]]


def test_takes_thousands_that_are_done_at_once() -> None:
    """What is answered within the call must not pile up on the stack."""
    turns = OrderedGate(1)
    done: list[int] = []

    def begin(number: int) -> Callable[[Turn], None]:
        def run(turn: Turn) -> None:
            done.append(number)
            turn.end()

        return run

    def ask_for_all(turn: Turn) -> None:
        for number in range(5000):
            turns.submit(begin(number))
        turn.end()

    turns.submit(ask_for_all)

    assert done == list(range(5000))
    assert turns.is_empty


def test_takes_one_turn_back_once() -> None:
    """What is over twice must not make room for two."""
    watched, turns = Watched(1), list[Turn]()
    watched.turns.submit(turns.append)
    for name in "ab":
        watched.ask(name)
    for _ in range(2):
        turns[0].end()

    assert watched.begun == ["a"]


@pytest.mark.parametrize("alone", [False, True])
def test_takes_the_turn_back_of_what_fails(alone: bool) -> None:
    """Else nothing could run any more (requirement 127); the fault is told all the same."""
    watched = Watched(1)

    def fails(_turn: Turn) -> None:
        watched.ask("after it")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        watched.turns.submit(fails, exclusive=alone)
    begun = list(watched.begun)
    watched.done()

    assert begun == ["after it"]
    assert watched.turns.is_empty


def test_takes_the_turn_back_of_a_block_that_fails() -> None:
    """A turn is a context manager, and a fault is no reason to keep it."""
    watched, turns = Watched(1), list[Turn]()
    watched.turns.submit(turns.append)
    with pytest.raises(ZeroDivisionError), turns[0]:
        raise ZeroDivisionError

    assert watched.turns.is_empty


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4))
def test_begins_everything_in_the_order_it_was_asked(alone: list[bool], width: int) -> None:
    """Nobody is overtaken, so nobody waits for ever."""
    watched = Watched(width)
    for number, is_alone in enumerate(alone):
        watched.ask(str(number), alone=is_alone)
    for _ in alone:
        watched.done()

    assert watched.begun == [str(number) for number in range(len(alone))]
