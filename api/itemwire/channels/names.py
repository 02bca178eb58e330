"""How channels are named, one per item, and what stands for a caller's idempotency key."""

import hashlib
from typing import Final

from itemwire_auth.principal import Principal

PREFIX: Final = "item:"
KEY_BYTES: Final = 16  # nobody finds another caller and key with the same digest


def channel_of(item_id: str) -> str:
    """Name the channel of a valid item id."""
    return PREFIX + item_id


def item_of(channel: str) -> str:
    """Tell the item a channel belongs to."""
    return channel.removeprefix(PREFIX)


def key_of(publisher: Principal, key: str) -> str:
    """Give what stands for a key in the engine: each caller has keys of its own.

    Were they shared, one who may publish could use up a key ahead of another, whose message would
    be answered as stored and never be. The same on every node, whatever Python it runs on.
    """
    whole = ascii((*publisher.identity, key)).encode()
    return hashlib.blake2b(whole, digest_size=KEY_BYTES).hexdigest()
