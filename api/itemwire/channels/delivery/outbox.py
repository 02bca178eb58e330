"""What goes out to one client, and what happens when it is too slow."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence, Sized
from typing import Any, Final, Protocol

from itemwire.channels.delivery.bounded_buffer import MAX_HELD
from itemwire.messages import Frame, Gap, Position

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
    """A place in an outbox, and the chunk in it."""

    __slots__ = ("chunk", "size")

    def __init__(self, chunk: Chunk, size: int) -> None:
        self.chunk = chunk
        self.size = size


class Message(Waiting):
    """A message that may be dropped while it waits, or the gap where some were.

    `stream` is whose order it is in, `first` and `last` are offsets there.
    """

    __slots__ = ("epoch", "first", "is_gap", "is_newest_dropped", "item_id", "last", "stream")

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
        self.epoch = position.epoch
        self.first = self.last = position.offset
        self.is_newest_dropped = is_newest_dropped
        self.is_gap = False


class Outbox:
    """What waits for a client whose transport is paused: at most `limit` bytes, both together.

    What finds nothing else waiting is kept whatever its size: it alone makes no slow reader.
    Messages that may be dropped take three quarters, and leave the rest to what may not be.
    """

    __slots__ = ("_gaps", "_limit", "_messages", "_oldest", "_room", "_size", "_waiting", "dropped")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit * 3 // 4  # for what may be dropped
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._size = 0
        self._messages = 0  # that wait and may be dropped, of either kind
        self._oldest: deque[Message] = deque()  # those of them that go for newer ones, in order
        self._gaps: dict[Hashable, Message] = {}  # the latest of each stream, while it waits
        self.dropped = 0

    @property
    def size(self) -> int:
        """Count the bytes that wait and are counted."""
        return self._size

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
        has_room = self._has_room(message.size, unsent)
        while not has_room and self._oldest and not message.is_newest_dropped:
            self._drop_oldest()
            has_room = self._has_room(message.size, unsent)
        if has_room or not self._messages:
            self._add(message)
            self._messages += 1
            if not message.is_newest_dropped:
                self._oldest.append(message)
        elif not self._widen_gap(message):
            self._make_gap(message)
            self._add(message)

    def take(self) -> Chunk | Gap | None:
        """Give what has waited longest, None when nothing does."""
        if not self._waiting:
            return None
        first, _ = self._waiting.popitem(last=False)
        self._size -= first.size
        if not isinstance(first, Message):
            return first.chunk
        if first.is_gap:
            if self._gaps.get(first.stream) is first:
                del self._gaps[first.stream]
            return Gap(first.item_id, first.epoch, first.first, first.last)
        self._messages -= 1
        if self._oldest and self._oldest[0] is first:
            self._oldest.popleft()
        return first.chunk

    def _add(self, waiting: Waiting) -> None:
        self._waiting[waiting] = None
        self._size += waiting.size

    def _has_room(self, size: int, unsent: int) -> bool:
        return unsent + self._size + size <= self._room and len(self._waiting) < MAX_HELD * 3 // 4

    def _drop_oldest(self) -> None:
        message = self._oldest.popleft()
        self._messages -= 1
        self._size -= message.size
        if self._widen_gap(message):
            del self._waiting[message]
        else:
            self._make_gap(message)
            self._size += message.size

    def _widen_gap(self, message: Message) -> bool:
        """Count a message to the gap that ends just before it; False: there is none."""
        gap = self._gaps.get(message.stream)
        if gap is None or gap.last + 1 != message.first or gap.epoch != message.epoch:
            return False
        gap.last = message.last
        self.dropped += 1
        return True

    def _make_gap(self, message: Message) -> None:
        """Make a message the gap in its own place."""
        message.is_gap = True
        message.chunk = b""
        message.size = GAP_BYTES
        self._gaps[message.stream] = message
        self.dropped += 1
