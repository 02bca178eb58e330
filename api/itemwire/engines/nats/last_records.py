"""The last records of channels, as far as this node knows them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from itemwire.engines.nats.records import LastRecord

MAX_CHANNELS: Final = 10_000


class LastRecords:
    """Remembers which record to follow; one that is unknown, or outdated, is read again."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, LastRecord] = OrderedDict()

    def get(self, channel: str) -> LastRecord | None:
        """Return a channel's last record, if it is known."""
        last = self._records.get(channel)
        if last is not None:
            self._records.move_to_end(channel)
        return last

    def put(self, channel: str, last: LastRecord) -> None:
        """Remember a record as its channel's last."""
        self._records[channel] = last
        self._records.move_to_end(channel)
        if len(self._records) > MAX_CHANNELS:
            self._records.popitem(last=False)

    def advance(self, channel: str, last: LastRecord) -> None:
        """Remember another node's record, if this node publishes to the channel too."""
        known = self._records.get(channel)
        if known is not None and known.sequence < last.sequence:
            self._records[channel] = last

    def replace(self, channel: str, last: LastRecord, now: LastRecord) -> None:
        """Remember more of a record, if it is still the last."""
        if self._records.get(channel) is last:
            self._records[channel] = now

    def forget(self, channel: str, last: LastRecord | None = None) -> None:
        """Have the last record read again, unless a newer one than `last` is known by now."""
        if last is None or self._records.get(channel) is last:
            self._records.pop(channel, None)

    def clear(self) -> None:
        """Forget everything: the store may be another one."""
        self._records.clear()
