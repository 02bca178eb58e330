"""A small table is a dict in all but its memory."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.small_table import SmallTable

MOVES = st.lists(st.tuples(st.sampled_from(["set", "del", "pop", "clear"]), st.sampled_from("abc")))


@given(MOVES)
def test_agrees_with_a_dict(moves: list[tuple[str, str]]) -> None:
    """Whatever is added and removed: entries, order, and what is said of others."""
    table, model = SmallTable[int](), dict[str, int]()
    for number, (move, key) in enumerate(moves):
        for one in (table, model):
            if move == "set":
                one[key] = number
            elif move == "pop":
                one.pop(key, None)
            elif move == "clear":
                one.clear()
            elif key in one:
                del one[key]
        assert list(table.items()) == list(model.items())
        assert list(table.values()) == list(model.values())
        assert (len(table), bool(table)) == (len(model), bool(model))
        assert [table.get(other) for other in "abcd"] == [model.get(other) for other in "abcd"]


@pytest.mark.parametrize("entries", [{}, {"a": 1}, {"a": 1, "b": 2}])
def test_has_no_entry_that_was_not_added(entries: dict[str, int]) -> None:
    """The one that it keeps for itself is no exception."""
    table = SmallTable[int]()
    table.update(entries)

    with pytest.raises(KeyError):
        table["other"]
    with pytest.raises(KeyError):
        del table["other"]
    assert dict(table) == entries


def test_its_values_stay_as_they_were_while_it_changes() -> None:
    """Who ends walks over all that a connection is on, and takes it off each."""
    table = SmallTable[int]()
    table.update({"a": 1, "b": 2})

    seen = [table.pop("b" if value == 2 else "a") for value in table.values()]

    assert (seen, len(table)) == ([1, 2], 0)


def test_one_entry_takes_little() -> None:
    """Thousands of idle sockets have one each."""
    table = SmallTable[int]()
    table["a"] = 1

    assert sys.getsizeof(table) <= 48
    assert not hasattr(table, "__dict__")
