"""What goes out to one client, and what happens when it is too slow."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence, Sized
from typing import Any, Final, Protocol

from api.channels.holding import MAX_HELD
from api.messages import Frame, Gap, Position

GAP_BYTES: Final = 256  # what a gap is counted as: it is written when it goes out

Chunk = Sized
"""One or more frames as a kind of transport takes them; its `len` is their bytes."""

Writer = Callable[[Any], object]
"""Takes a chunk of its transport's own kind, and never waits."""


class Framing(Protocol):
    """What frames become on the way to a kind of transport: made once for all its sockets."""

    def render(self, frame: Frame) -> Chunk:
        """Make one frame ready to be written."""
        ...

    def join(self, chunks: Sequence[Any]) -> Chunk:
        """Make one chunk of several, in their order."""
        ...


class Transport(Protocol):
    """The sending half of an accepted socket, as the core sees it.

    No method waits or raises. While it has more unsent than it likes it says so by the session's
    `paused()`, perhaps in the middle of a `write`, and `writable()` later, never in one.
    """

    framing: Framing
    write: Writer

    def unsent(self) -> int:
        """Count the bytes that were written and not yet handed to the operating system."""
        ...

    def discard(self) -> None:
        """Forget what is unsent, as far as it can still be held back."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send what is unsent, then the close frame, and end in bounded time."""
        ...


class Waiting:
    """A place in an outbox, and what is in it: a chunk, or the gap where messages were."""

    __slots__ = ("size", "what")

    def __init__(self, what: Chunk | Gap, size: int) -> None:
        self.what = what
        self.size = size


class Message(Waiting):
    """A message that may be dropped while it waits; `stream` is whose order it is in."""

    __slots__ = ("is_newest_dropped", "item_id", "position", "stream")

    def __init__(
        self,
        chunk: Chunk,
        stream: Hashable,
        item_id: str,
        position: Position,
        *,
        is_newest_dropped: bool,
    ) -> None:
        super().__init__(chunk, len(chunk))
        self.stream = stream
        self.item_id = item_id
        self.position = position
        self.is_newest_dropped = is_newest_dropped


class Outbox:
    """What waits for a client whose transport is paused: at most `limit` bytes, both together.

    What finds nothing else waiting is kept whatever its size: it alone makes no slow reader.
    Messages that may be dropped take three quarters, and leave the rest to what may not be.
    """

    __slots__ = ("_gaps", "_limit", "_messages", "_oldest", "_size", "_waiting", "dropped")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._size = 0
        self._messages = 0  # that wait and may be dropped, of either kind
        self._oldest: deque[Message] = deque()  # those of them that go for newer ones, in order
        self._gaps: dict[Hashable, Message] = {}  # the latest of each stream, while it waits
        self.dropped = 0

    def keep(self, chunk: Chunk, unsent: int) -> bool:
        """Keep a chunk beside what the transport has unsent; False: it is past the limit."""
        size = len(chunk)
        if self._waiting and (
            unsent + self._size + size > self._limit or len(self._waiting) >= MAX_HELD
        ):
            return False
        self._add(Waiting(chunk, size))
        return True

    def keep_uncounted(self, chunk: Chunk) -> None:
        """Keep a chunk that is bounded otherwise, whatever else waits.

        So the replay that a client asked for when it joined, having had no chance to read yet;
        the history has bounds of its own.
        """
        self._add(Waiting(chunk, 0))

    def keep_or_drop(self, message: Message, unsent: int) -> None:
        """Keep a message if there is room or can be made, or a gap in its place.

        One message is kept whatever its size: a client that reads again finds more than a gap.
        """
        if not message.is_newest_dropped:
            while self._oldest and not self._has_room(message.size, unsent):
                self._messages -= 1
                self._drop(self._oldest.popleft())
        if self._messages and not self._has_room(message.size, unsent):
            self._add(message)
            self._drop(message)
            return
        self._add(message)
        self._messages += 1
        if not message.is_newest_dropped:
            self._oldest.append(message)

    def take(self) -> Chunk | Gap | None:
        """Give what has waited longest, None when nothing does."""
        if not self._waiting:
            return None
        first, _ = self._waiting.popitem(last=False)
        self._size -= first.size
        if isinstance(first, Message):
            self._forget(first)
        return first.what

    def _add(self, waiting: Waiting) -> None:
        self._waiting[waiting] = None
        self._size += waiting.size

    def _has_room(self, size: int, unsent: int) -> bool:
        return (
            unsent + self._size + size <= self._limit * 3 // 4
            and len(self._waiting) < MAX_HELD * 3 // 4
        )

    def _forget(self, message: Message) -> None:
        if isinstance(message.what, Gap):
            if self._gaps.get(message.stream) is message:
                del self._gaps[message.stream]
            return
        self._messages -= 1
        if self._oldest and self._oldest[0] is message:
            self._oldest.popleft()

    def _drop(self, message: Message) -> None:
        """Put a gap in a message's place, or widen the one that ends just before it."""
        self.dropped += 1
        self._size -= message.size
        at, before = message.position, self._gaps.get(message.stream)
        gap = before.what if before is not None else None
        if before is not None and isinstance(gap, Gap) and _ends_before(gap, at):
            before.what = Gap(gap.item, gap.epoch, gap.from_, at.offset)
            del self._waiting[message]
        else:
            message.what = Gap(message.item_id, at.epoch, at.offset, at.offset)
            message.size = GAP_BYTES
            self._size += GAP_BYTES
            self._gaps[message.stream] = message


def _ends_before(gap: Gap, position: Position) -> bool:
    return gap.epoch == position.epoch and gap.to + 1 == position.offset
