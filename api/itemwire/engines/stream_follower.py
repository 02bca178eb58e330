"""What a node has heard of one channel: what comes next, what is missing before it.

For engines whose live messages may be lost, doubled or late on their way. It is told of each
message that arrives, by whatever way, and delivers those that are next. What is missing it does
not fetch: whoever feeds it looks at `is_behind`, reads the channel after `position`, and calls
`fill` with what came out.
"""

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from itemwire.engines.base import Lose
from itemwire.messages import Position

T = TypeVar("T")

MAX_HELD: Final = 256  # messages beyond a hole; past that they are read again with the rest


class StreamFollower(Generic[T]):
    """Where one node stands in one channel. It stands nowhere before it was filled once."""

    __slots__ = (
        "_deliver",
        "_epoch",
        "_held",
        "_held_epoch",
        "_is_doubtful",
        "_lose",
        "_offset",
        "_waiting",
        "channel",
    )

    def __init__(self, channel: str, deliver: Callable[[str, T], None], lose: Lose) -> None:
        self.channel = channel
        self._deliver = deliver
        self._lose = lose
        self._epoch = ""  # no epoch has that name
        self._offset = 0
        self._is_doubtful = True
        self._held: dict[int, T] = {}
        self._held_epoch = ""
        self._waiting: list[tuple[Position, Callable[[], None]]] = []

    @property
    def position(self) -> Position | None:
        """Give the place of what was delivered last; None before the first `fill`."""
        return Position(self._epoch, self._offset) if self._epoch else None

    @property
    def is_behind(self) -> bool:
        """Tell whether something is missing, or may be."""
        return self._is_doubtful or bool(self._held)

    def doubt(self) -> None:
        """Take it that messages were missed, until the next `fill`."""
        self._is_doubtful = True

    def knows(self, epoch: str, offset: int) -> bool:
        """Tell whether a message was delivered, or was there before this node listened."""
        return epoch == self._epoch and offset <= self._offset

    def offer(self, epoch: str, offset: int, message: T) -> None:
        """Take a message that was stored: deliver it if it is next, hold it if others are."""
        if epoch != self._epoch or offset > self._offset + 1:
            self._hold(epoch, offset, message)
        elif offset == self._offset + 1:
            self._go_to(offset, message)
            self._go_on()

    def reach(self, position: Position, reached: Callable[[], None]) -> None:
        """Call once all up to a position that was read is delivered, or is known to be lost."""
        if self.knows(position.epoch, position.offset):
            reached()
        else:
            self._waiting.append((position, reached))
            self._is_doubtful = True

    def fill(self, read_at: Position, messages: Iterable[tuple[int, T]], *, is_cut: bool) -> None:
        """Take what was read after `position`: all that is kept, or the beginning if it is cut.

        What is missing in it is lost, and said to be. The first one only says where to begin.
        """
        self._is_doubtful = is_cut
        if not self._epoch:
            self._epoch, self._offset, self._is_doubtful = read_at.epoch, read_at.offset, False
        elif self._epoch != read_at.epoch:
            self._lose_until(self._before_what_is_held(read_at))
        else:
            self._take_over(messages)
            if not is_cut and read_at.offset > self._offset:
                self._lose_until(read_at)
        if self._held_epoch != self._epoch:
            self._held.clear()
        self._held = {offset: one for offset, one in self._held.items() if offset > self._offset}
        self._go_on()
        self._release_others()

    def leave(self) -> None:
        """Let nobody wait any longer."""
        waiting, self._waiting = self._waiting, []
        for _, reached in waiting:
            reached()

    def _take_over(self, messages: Iterable[tuple[int, T]]) -> None:
        for offset, message in messages:
            if offset > self._offset + 1:
                self._lose_until(Position(self._epoch, offset - 1))
            if offset > self._offset:
                self._go_to(offset, message)

    def _lose_until(self, position: Position) -> None:
        self._epoch, self._offset = position.epoch, position.offset
        self._lose(self.channel, position)

    def _before_what_is_held(self, position: Position) -> Position:
        """Go back from a position as far as all is held: what was heard meanwhile is not lost."""
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
            self._is_doubtful = True

    def _go_to(self, offset: int, message: T) -> None:
        self._offset = offset
        self._deliver(self.channel, message)

    def _go_on(self) -> None:
        """Deliver what was held and is next now, and tell those who waited for it."""
        while self._held and self._held_epoch == self._epoch and self._offset + 1 in self._held:
            offset = self._offset + 1
            self._go_to(offset, self._held.pop(offset))
        if self._waiting:
            self._release(lambda position: self.knows(position.epoch, position.offset))

    def _release_others(self) -> None:
        """Call those who wait for another epoch than the one just read: it is over."""
        if self._waiting:
            self._release(lambda position: position.epoch != self._epoch)

    def _release(self, is_over: Callable[[Position], bool]) -> None:
        waiting, self._waiting = self._waiting, []
        for position, reached in waiting:
            if is_over(position):
                reached()
            else:
                self._waiting.append((position, reached))
        self._is_doubtful = self._is_doubtful or bool(self._waiting)
