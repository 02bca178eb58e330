"""How channels are named: one channel per item."""


def channel_of(item_id: str) -> str:
    """Name the channel of a valid item id."""
    return f"item:{item_id}"
