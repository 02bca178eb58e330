"""The bounds of channels as nodes tell them."""

from __future__ import annotations

import math

import pytest

from itemwire.engines.base import Bounds
from itemwire.engines.unix import told_bounds
from itemwire.engines.unix.told_bounds import ToldBounds

USUAL = Bounds(100, 1000, 300)
OTHER = Bounds(3, 50, 600, retained=9)


def test_each_channel_has_what_was_told_of_it() -> None:
    """Those that are as most take no memory."""
    bounds = ToldBounds()
    bounds.tell("usual", USUAL)
    bounds.tell("other", OTHER)

    assert (bounds.of("usual"), bounds.of("other")) == (USUAL, OTHER)
    assert len(bounds._others) == 1


def test_nothing_is_forgotten_for_its_age_before_all_have_told() -> None:
    """A process that starts on a file knows no rule yet, and the file may have old messages."""
    bounds = ToldBounds(total_bytes=7)
    bounds.tell_largest(USUAL)
    before = bounds.largest
    bounds.tell_largest(OTHER)
    bounds.settle()

    assert (before.seconds, before.retained > 0, before.total_bytes) == (math.inf, True, 7)
    assert bounds.largest == Bounds(100, 1000, 600, 7, 9)


def test_those_that_are_settled_at_once_are_never_more_than_was_told() -> None:
    """A store that others use as well is made and kept by them."""
    bounds = ToldBounds(is_settled=True)
    before = bounds.largest
    bounds.tell_largest(USUAL)
    bounds.tell("usual", USUAL)

    assert before == Bounds(0, 0, 0)
    assert bounds.largest == bounds.of("usual") == USUAL


def test_what_a_node_tells_later_is_taken_too() -> None:
    """A second application may come with a longer history."""
    bounds = ToldBounds()
    bounds.settle()
    bounds.tell_largest(OTHER)

    assert bounds.largest.seconds == OTHER.seconds


def test_no_more_channels_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request tells the bounds of its channel anew."""
    monkeypatch.setattr(told_bounds, "MOST_CHANNELS", 2)
    bounds = ToldBounds()
    bounds.tell("usual", USUAL)
    for name in ("a", "b", "c"):
        bounds.tell(name, OTHER)

    assert [bounds.of(name) for name in ("a", "b", "c")] == [USUAL, OTHER, OTHER]
