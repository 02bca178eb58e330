"""When a message counts as complete."""

import pytest

from itemwire.bench.frames import Stationery, mark_of
from itemwire.bench.window import Item, Window


@pytest.fixture
def window() -> Window:
    """A window in which nothing was sent."""
    return Window(Stationery("{marker}", mark_of(1), 128))


def test_a_message_is_complete_when_its_last_subscriber_has_heard_it(window: Window) -> None:
    """Others may have heard more by then; their lead does not stand in for the last one."""
    item = Item(window, 2)
    for _ in range(3):
        item.next_message(0)

    item.advance(0, 3)
    after_one = window.completed
    item.advance(0, 2)

    assert (after_one, window.completed, window.in_flight) == (0, 2, 1)


def test_the_next_is_asked_for_as_messages_complete(window: Window) -> None:
    """That is what a closed loop is made of."""
    asked: list[int] = []
    window.on_complete = asked.append
    item = Item(window, 1)
    for _ in range(3):
        item.next_message(0)

    item.advance(0, 1)
    item.advance(1, 3)

    assert asked == [1, 2]


def test_what_comes_twice_completes_nothing_else(window: Window) -> None:
    """Two deliveries of one message are not one delivery of two."""
    item = Item(window, 1)
    item.next_message(0)
    item.advance(0, 2)
    first = window.completed
    item.next_message(0)
    item.advance(2, 4)

    assert (first, window.completed, window.in_flight) == (1, 2, 0)


def test_times_are_forgotten_with_their_messages(window: Window) -> None:
    """A run of hours needs no more memory than one of seconds."""
    item = Item(window, 1)
    for number in range(1000):
        item.next_message(number)
        item.advance(number, number + 1)

    assert item.sent_at == {}
