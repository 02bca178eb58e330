"""The names of channels: one channel per item."""

from typing import Final

from itemwire_auth.scopes import ITEM_ID_RULE, is_item_id

PREFIX: Final = "item:"

DIRECT_ITEM: Final = "$direct"
"""Stands for messages to one caller. No request can name it: an item id has no `$`."""


RULES_ITEM: Final = "$rules"
"""Stands for the rules that nodes leave in the engine for those that only publish."""

WATCH_ITEM: Final = "$watch"
"""Stands for the feed of what code watches by pattern."""

OPERATIONS_ITEM: Final = "$operations"
"""Stands for what operators watch: the figures of all nodes, once a second."""

RESERVED: Final = "$"
"""Begins every name that is no item's."""


def channel_of(item_id: str) -> str:
    """Return the name of the channel of a valid item id."""
    return PREFIX + item_id


def item_of(channel: str) -> str:
    """Return the id of the item that a channel belongs to."""
    return channel.removeprefix(PREFIX)


def check_item_id(item_id: str) -> None:
    """Raise ValueError for a text that is no item id: the application's code may name any."""
    if not is_item_id(item_id):
        raise ValueError(f"{item_id!r} is no item id: {ITEM_ID_RULE}")
