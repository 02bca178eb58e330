"""Notices of several servers, read as if they were kept in one place."""

from __future__ import annotations

import pytest

from itemwire.engines.notices import NoticePage, StoredNotice
from itemwire.engines.redis.copies import NoticeCopies
from itemwire.engines.redis.shard_notices import joined, read_until


def page(epoch: str, *notices: tuple[int, bytes]) -> NoticePage:
    """Make what one server answers."""
    kept = [StoredNotice(number, notice, is_over=False) for number, notice in notices]
    return NoticePage(epoch, max((number for number, _ in notices), default=0), kept)


def test_each_notice_is_there_once_however_many_servers_have_it() -> None:
    """With numbers of the page's own."""
    copies = NoticeCopies()
    one, two = copies.mark(b"same"), copies.mark(b"same")
    whole = joined({}, {"a": page("x", (4, one), (5, two)), "b": page("y", (9, two), (10, one))})

    assert whole.notices == [
        StoredNotice(1, b"same", is_over=False),
        StoredNotice(2, b"same", is_over=False),
    ]
    assert (whole.last, whole.is_cut) == (2, False)


def test_the_epoch_says_how_far_each_server_was_read() -> None:
    """Those that are away are read on from where they were."""
    first = joined({}, {"a": page("x", (4, b"1")), "b": page("y", (9, b"2"))})
    then = joined(read_until(first.epoch), {"b": page("y", (11, b"3"))})

    assert read_until(first.epoch) == {"a": ("x", 4), "b": ("y", 9)}
    assert read_until(then.epoch) == {"a": ("x", 4), "b": ("y", 11)}


def test_nothing_new_is_the_same_epoch() -> None:
    """Whoever reads it applies nothing anew."""
    first = joined({}, {"b": page("y", (9, b"2")), "a": page("x", (4, b"1"))})
    again = joined(
        read_until(first.epoch), {"a": NoticePage("x", 4, []), "b": NoticePage("y", 9, [])}
    )

    assert (again.epoch, again.notices) == (first.epoch, [])


@pytest.mark.parametrize("epoch", ["", "life-1", "{", '{"a":1}', "[]"])
def test_any_other_epoch_reads_from_the_first(epoch: str) -> None:
    """A node that has just started, or that was on another engine."""
    assert read_until(epoch) == {}
