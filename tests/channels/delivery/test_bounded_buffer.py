"""What is kept until somebody is ready: in order, within bounds."""

from itemwire.channels.delivery.bounded_buffer import MAX_HELD, BoundedBuffer


def test_gives_back_in_order_and_once() -> None:
    """Released is forgotten."""
    held = BoundedBuffer[str](10)
    for thing in ("a", "b", "c"):
        assert held.keep(thing, 1)

    assert held.release() == ["a", "b", "c"]
    assert held.release() == []


def test_refuses_what_is_past_its_bytes() -> None:
    """And takes as much again once it was emptied."""
    held = BoundedBuffer[str](10)

    assert held.keep("a", 10)
    assert not held.keep("b", 1)
    held.release()
    assert held.keep("c", 10)


def test_refuses_a_flood_of_small_things() -> None:
    """A thing without bytes takes memory all the same."""
    held = BoundedBuffer[str](10)
    for _ in range(MAX_HELD):
        assert held.keep("", 0)

    assert not held.keep("", 0)
