"""How channels are named."""

from __future__ import annotations

from itemwire.channels.names import channel_of


def test_names_the_channel_after_its_item() -> None:
    """The name is in logs and in every engine's store: changing it loses what is stored."""
    assert channel_of("42") == "item:42"


def test_names_different_items_differently() -> None:
    """A colon in an id must not make it meet another kind of channel, or another item."""
    ids = ["a", "a:b", "item:a", ":a", "A", "a.b", "a~b"]

    assert len({channel_of(item_id) for item_id in ids}) == len(ids)
