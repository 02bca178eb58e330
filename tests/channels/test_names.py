"""How channels are named."""

from __future__ import annotations

import pytest

from itemwire.channels.names import channel_of, key_of
from tests.fakes import principal


def test_names_the_channel_after_its_item() -> None:
    """The name is in logs and in every engine's store: changing it loses what is stored."""
    assert channel_of("42") == "item:42"


def test_names_different_items_differently() -> None:
    """A colon in an id must not make it meet another kind of channel, or another item."""
    ids = ["a", "a:b", "item:a", ":a", "A", "a.b", "a~b"]

    assert len({channel_of(item_id) for item_id in ids}) == len(ids)


def test_names_a_key_alike_on_every_node() -> None:
    """It is in the engine's store, for nodes of other versions as well."""
    assert key_of(principal("alice"), "k") == key_of(principal("alice"), "k")
    assert key_of(principal("alice"), "k") == "f46fe961e3e17f3aaad3e3e492d80db6"


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        pytest.param("bob", "k", id="another caller"),
        pytest.param("alice", "l", id="another key"),
        pytest.param("alic", "ek", id="the same letters"),
        pytest.param("alice', 'k", "", id="quotes"),
        pytest.param("None, 'alice", "k", id="no issuer"),
    ],
)
def test_names_keys_of_different_callers_differently(subject: str, key: str) -> None:
    """One caller's key must never be another's, however both are chosen."""
    assert key_of(principal(subject), key) != key_of(principal("alice"), "k")


def test_names_any_key_in_a_few_letters() -> None:
    """Engines keep thousands of them for an item, and not all can keep every character."""
    keys = [key_of(principal("alice"), key) for key in ("\0", "\ud800", "x" * 128, "\n")]

    assert all(len(key) == 32 and key.isalnum() and key.isascii() for key in keys)
    assert len(set(keys)) == 4
