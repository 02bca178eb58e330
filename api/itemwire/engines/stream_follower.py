"""The position of a node in one channel: what it delivers next, and what is missing.

For engines whose live messages can be lost, repeated or late. The follower is given each message
that arrives, on whichever way, and delivers those that are next. It fetches nothing by itself: its
owner looks at `is_behind`, reads the channel after `position`, and calls `fill` with the result.
"""

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from itemwire.engines.base import Lose
from itemwire.messages import Position

T = TypeVar("T")

MAX_HELD: Final = 256  # messages beyond a hole; more are dropped, and read again with the rest


class StreamFollower(Generic[T]):
    """The place of one node in one channel; it has none before the first `fill`.

    A message that arrives is one of four:

    - the next one: it is delivered, and after it those that were held and are next now;
    - an older one: it was delivered, or was there before this node listened, and is ignored;
    - one beyond a hole: it is held until the hole is filled, by late messages or by a read;
    - one of another epoch: it is held as well, until a read confirms that the epoch has changed.
      Until then it may be a late message of an epoch that is over.

    What a read no longer finds is lost, and reported as lost: a hole is never silent.
    """

    __slots__ = (
        "_deliver",
        "_epoch",
        "_held",
        "_held_epoch",
        "_is_stale",
        "_lose",
        "_offset",
        "_waiting",
        "channel",
    )

    def __init__(self, channel: str, deliver: Callable[[str, T], None], lose: Lose) -> None:
        self.channel = channel
        self._deliver = deliver
        self._lose = lose
        self._epoch = ""  # no epoch has this name
        self._offset = 0
        self._is_stale = True
        self._held: dict[int, T] = {}
        self._held_epoch = ""
        self._waiting: list[tuple[Position, Callable[[], None]]] = []

    @property
    def position(self) -> Position | None:
        """Return the position of the last delivered message; None before the first `fill`."""
        return Position(self._epoch, self._offset) if self._epoch else None

    @property
    def is_behind(self) -> bool:
        """Return whether something is missing, or may be."""
        return self._is_stale or bool(self._held)

    def mark_stale(self) -> None:
        """Assume that messages were missed, until the next `fill`."""
        self._is_stale = True

    def has_passed(self, epoch: str, offset: int) -> bool:
        """Return whether a message was delivered, or existed before this node listened."""
        return epoch == self._epoch and offset <= self._offset

    def receive(self, epoch: str, offset: int, message: T) -> None:
        """Take a stored message: deliver it if it is next, hold it if others come before it."""
        if epoch != self._epoch or offset > self._offset + 1:
            self._hold(epoch, offset, message)
        elif offset == self._offset + 1:
            self._advance(offset, message)
            self._deliver_held()

    def call_at(self, position: Position, reached: Callable[[], None]) -> None:
        """Call back once everything up to a position is delivered, or is known to be lost."""
        if self.has_passed(position.epoch, position.offset):
            reached()
        else:
            self._waiting.append((position, reached))
            self._is_stale = True

    def fill(self, read_at: Position, messages: Iterable[tuple[int, T]], *, is_cut: bool) -> None:
        """Take what was read after `position`: all that is stored, or the beginning if it is cut.

        `read_at` is the channel's position at the time of the read. What the read does not
        contain is lost, and reported so. The first call only sets where to begin.
        """
        self._is_stale = is_cut
        if not self._epoch:
            self._epoch, self._offset, self._is_stale = read_at.epoch, read_at.offset, False
        elif self._epoch != read_at.epoch:
            # The store was lost or replaced: offsets of the old epoch will never be delivered.
            self._lose_until(self._before_held(read_at))
        else:
            self._take_read(messages)
            if not is_cut and read_at.offset > self._offset:
                self._lose_until(read_at)
        if self._held_epoch != self._epoch:
            self._held.clear()
        self._held = {offset: one for offset, one in self._held.items() if offset > self._offset}
        self._deliver_held()
        self._release_other_epochs()

    def leave(self) -> None:
        """Call back everything that waits for a position: nothing is delivered any more."""
        waiting, self._waiting = self._waiting, []
        for _, reached in waiting:
            reached()

    def _take_read(self, messages: Iterable[tuple[int, T]]) -> None:
        for offset, message in messages:
            if offset > self._offset + 1:
                self._lose_until(Position(self._epoch, offset - 1))
            if offset > self._offset:
                self._advance(offset, message)

    def _lose_until(self, position: Position) -> None:
        self._epoch, self._offset = position.epoch, position.offset
        self._lose(self.channel, position)

    def _before_held(self, position: Position) -> Position:
        """Go back from a position over the messages that are held: they are not lost."""
        offset = position.offset
        while self._held_epoch == position.epoch and offset in self._held:
            offset -= 1
        return Position(position.epoch, offset)

    def _hold(self, epoch: str, offset: int, message: T) -> None:
        if self._held_epoch != epoch:
            self._held.clear()
            self._held_epoch = epoch
        self._held[offset] = message
        if len(self._held) > MAX_HELD:
            self._held.clear()
            self._is_stale = True

    def _advance(self, offset: int, message: T) -> None:
        self._offset = offset
        self._deliver(self.channel, message)

    def _deliver_held(self) -> None:
        """Deliver the held messages that are next now, and call those who waited for them."""
        while self._held and self._held_epoch == self._epoch and self._offset + 1 in self._held:
            offset = self._offset + 1
            self._advance(offset, self._held.pop(offset))
        if self._waiting:
            self._release(lambda position: self.has_passed(position.epoch, position.offset))

    def _release_other_epochs(self) -> None:
        """Call those who wait for another epoch than the one just read: it will not go on."""
        if self._waiting:
            self._release(lambda position: position.epoch != self._epoch)

    def _release(self, is_due: Callable[[Position], bool]) -> None:
        waiting, self._waiting = self._waiting, []
        for position, reached in waiting:
            if is_due(position):
                reached()
            else:
                self._waiting.append((position, reached))
        # As long as somebody waits, the read was older than the position that is waited for.
        self._is_stale = self._is_stale or bool(self._waiting)
