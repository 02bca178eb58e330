"""A caller's idempotency keys are its own, and the same on every node."""

from __future__ import annotations

import pytest

from itemwire.channels.idempotency import key_of
from tests.fakes import principal


def test_names_a_key_alike_on_every_node() -> None:
    """It is in the engine's store, for nodes of other versions as well."""
    assert key_of(principal("alice").identity, "k") == key_of(principal("alice").identity, "k")
    assert key_of(principal("alice").identity, "k") == "f46fe961e3e17f3aaad3e3e492d80db6"


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
    assert key_of(principal(subject).identity, key) != key_of(principal("alice").identity, "k")


def test_names_any_key_in_a_few_letters() -> None:
    """Engines keep thousands of them for an item, and not all can keep every character."""
    keys = [key_of(principal("alice").identity, key) for key in ("\0", "\ud800", "x" * 128, "\n")]

    assert all(len(key) == 32 and key.isalnum() and key.isascii() for key in keys)
    assert len(set(keys)) == 4
