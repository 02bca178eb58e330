"""The names of channels: one channel per item."""

from typing import Final

PREFIX: Final = "item:"


def channel_of(item_id: str) -> str:
    """Return the name of the channel of a valid item id."""
    return PREFIX + item_id


def item_of(channel: str) -> str:
    """Return the id of the item that a channel belongs to."""
    return channel.removeprefix(PREFIX)
