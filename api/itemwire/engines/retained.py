"""The last message of channels that retain it, as an engine in memory keeps it."""

from collections import OrderedDict
from typing import Final

from itemwire.engines.base import retained_at
from itemwire.messages import Position, Publication, message_size

ENTRY_BYTES: Final = 800  # what a message takes beside its payload, with its entry here


class RetainedMessages:
    """Keeps one message of each channel, each until its time is over.

    `bytes` is what all of them take.
    """

    __slots__ = ("_kept", "bytes")

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, str, Publication]] = OrderedDict()
        self.bytes = 0

    def keep(
        self, channel: str, epoch: str, message: Publication, *, now: float, seconds: float
    ) -> None:
        """Keep a message for so many seconds in place of the one before."""
        self.discard(channel)
        self._kept[channel] = now + seconds, epoch, message
        self.bytes += _size_of(message)
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self.forget_oldest()

    def find(self, channel: str, position: Position, now: float) -> Publication | None:
        """Return the message of a channel that stands at a position."""
        until, epoch, message = self._kept.get(channel, (0.0, "", None))
        if message is None or until <= now:
            return None
        return retained_at(position, epoch, message)

    def forget_oldest(self) -> bool:
        """Forget the message that was kept first; return whether there was one."""
        oldest = next(iter(self._kept), None)
        if oldest is None:
            return False
        self.discard(oldest)
        return True

    def discard(self, channel: str) -> None:
        """Forget the message of a channel, if there is one."""
        kept = self._kept.pop(channel, None)
        if kept is not None:
            self.bytes -= _size_of(kept[2])


def _size_of(message: Publication) -> int:
    return ENTRY_BYTES + message_size(message)
