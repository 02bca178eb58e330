"""How channels are named: one channel per item."""

from typing import Final

PREFIX: Final = "item:"


def channel_of(item_id: str) -> str:
    """Name the channel of a valid item id."""
    return PREFIX + item_id


def item_of(channel: str) -> str:
    """Tell the item a channel belongs to."""
    return channel.removeprefix(PREFIX)
