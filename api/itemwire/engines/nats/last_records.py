"""The last records of channels, as far as they are known to this node."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from itemwire.engines.nats.records import LastRecord

MAX_TIPS: Final = 10_000


class LastRecords:
    """Remembers where to go on; what is not known, or no longer right, is read again."""

    def __init__(self) -> None:
        self._tips: OrderedDict[str, LastRecord] = OrderedDict()

    def get(self, channel: str) -> LastRecord | None:
        """Give a channel's last record, if it is known."""
        tip = self._tips.get(channel)
        if tip is not None:
            self._tips.move_to_end(channel)
        return tip

    def know(self, channel: str, tip: LastRecord) -> None:
        """Take a record as a channel's last."""
        self._tips[channel] = tip
        self._tips.move_to_end(channel)
        if len(self._tips) > MAX_TIPS:
            self._tips.popitem(last=False)

    def saw(self, channel: str, tip: LastRecord) -> None:
        """Hear of a record that another node has stored, where this one has stored too."""
        known = self._tips.get(channel)
        if known is not None and known.sequence < tip.sequence:
            self._tips[channel] = tip

    def replace(self, channel: str, tip: LastRecord, now: LastRecord) -> None:
        """Know more of a record, if it is still the last."""
        if self._tips.get(channel) is tip:
            self._tips[channel] = now

    def forget(self, channel: str, tip: LastRecord | None = None) -> None:
        """Read the last record again, but not if a newer one was heard of meanwhile."""
        if tip is None or self._tips.get(channel) is tip:
            self._tips.pop(channel, None)

    def clear(self) -> None:
        """Forget all: the store may be another one."""
        self._tips.clear()
