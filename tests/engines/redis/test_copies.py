"""Copies of notices: the first that comes counts, whichever server it comes from."""

from __future__ import annotations

import pytest

from itemwire.engines.redis import copies
from itemwire.engines.redis.copies import NoticeCopies, unmarked


@pytest.mark.parametrize("notice", [b"", b"a notice", b"shop/a notice", b"\x01\x00\x00 in it"])
def test_a_copy_has_the_notice_in_it(notice: bytes) -> None:
    """One server alone takes the name off, and leaves a notice that has none."""
    assert unmarked(NoticeCopies().mark(notice)) == notice
    assert unmarked(notice) == notice


def test_the_first_copy_of_each_notice_is_new() -> None:
    """The same words twice are two notices, on one node or on two."""
    here, there = NoticeCopies(), NoticeCopies()
    posted = [here.mark(b"same"), here.mark(b"same"), there.mark(b"same")]

    assert [here.is_new(copy) for copy in posted] == [True] * 3
    assert [here.is_new(copy) for copy in posted] == [False] * 3
    assert [there.is_new(copy) for copy in posted] == [True] * 3


def test_what_has_no_name_is_always_new() -> None:
    """It was kept by a node that had one server, and is there once."""
    here = NoticeCopies()

    assert [here.is_new(b"kept from before") for _ in range(2)] == [True, True]


def test_the_oldest_names_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late copy is applied twice rather than that memory grows."""
    monkeypatch.setattr(copies, "REMEMBERED", 2)
    here = NoticeCopies()
    first, *others = [here.mark(b"x") for _ in range(3)]

    assert all(here.is_new(copy) for copy in (first, *others))
    assert not any(here.is_new(copy) for copy in others)
    assert here.is_new(first)
