"""A bounded buffer keeps the order, and refuses what is past its bounds."""

from itemwire.channels.delivery.bounded_buffer import MAX_HELD, BoundedBuffer


def test_returns_items_in_order_and_once() -> None:
    """Released is forgotten."""
    held = BoundedBuffer[str](10)
    for thing in ("a", "b", "c"):
        assert held.offer(thing, 1)

    assert held.take_all() == ["a", "b", "c"]
    assert held.take_all() == []


def test_refuses_what_is_past_its_bytes() -> None:
    """And takes as much again once it was emptied."""
    held = BoundedBuffer[str](10)

    assert held.offer("a", 10)
    assert not held.offer("b", 1)
    held.take_all()
    assert held.offer("c", 10)


def test_refuses_a_flood_of_small_things() -> None:
    """A thing without bytes takes memory all the same."""
    held = BoundedBuffer[str](10)
    for _ in range(MAX_HELD):
        assert held.offer("", 0)

    assert not held.offer("", 0)
