"""What waits for a client that reads slowly, and gaps in place of what was dropped."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence, Sized
from typing import Any, Final, Protocol

from itemwire.channels.delivery.bounded_buffer import MAX_HELD
from itemwire.channels.limits.slow_consumers import SlowConsumerPolicy
from itemwire.messages import Frame, Gap, Position

GAP_BYTES: Final = 256  # what a gap counts as: it is encoded only when it goes out

Chunk = Sized
"""One or more frames in the form that a kind of transport takes; its `len` is their bytes."""

OwnChunk = Any
"""A chunk in the form of the transport in question; each has one of its own."""


class ChunkWriter(Protocol):
    """Takes a chunk in the form of its transport, and never waits."""

    def __call__(self, chunk: OwnChunk, /) -> object:
        """Write a chunk."""
        ...


class Framing(Protocol):
    """The form that frames have for a kind of transport: made once for all of its sockets."""

    def render(self, frame: Frame) -> Chunk:
        """Return one frame as a chunk."""
        ...

    def join(self, chunks: Sequence[OwnChunk]) -> Chunk:
        """Return several chunks as one, in their order."""
        ...


class Transport(Protocol):
    """The sending half of an accepted socket, as the core sees it.

    No method waits or raises. When it has more unsent than it likes, it calls the session's
    `paused()`, perhaps in the middle of a `write`; later, never within a `write`, `writable()`.
    """

    framing: Framing

    def write(self, chunk: OwnChunk, /) -> object:
        """Send a chunk in the form of `framing`, after all that was written before."""
        ...

    def unsent(self) -> int:
        """Return the bytes that were written and not yet handed to the operating system."""
        ...

    def discard(self) -> None:
        """Discard what is unsent, as far as it can still be held back."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send what is unsent, then the close frame, and end in bounded time."""
        ...


class Waiting:
    """One place in an outbox, with the chunk in it."""

    __slots__ = ("chunk", "size")

    def __init__(self, chunk: Chunk, size: int) -> None:
        self.chunk = chunk
        self.size = size


class Message(Waiting):
    """A message that may be dropped while it waits, or the gap that stands for dropped ones.

    `stream` is the subscription that it came by. `first` and `last` are offsets of that stream:
    both its own for a message, the range that was dropped for a gap.
    """

    __slots__ = ("epoch", "first", "is_gap", "item_id", "last", "policy", "stream")

    def __init__(
        self,
        chunk: Chunk,
        stream: Hashable,
        item_id: str,
        position: Position,
        policy: SlowConsumerPolicy,
    ) -> None:
        super().__init__(chunk, len(chunk))
        self.stream = stream
        self.item_id = item_id
        self.epoch = position.epoch
        self.first = self.last = position.offset
        self.policy = policy
        self.is_gap = False


class Outbox:
    """Chunks that wait for a paused transport: at most `limit` bytes with its unsent ones.

    A chunk that finds nothing else waiting is kept whatever its size: one chunk alone makes no
    slow reader. Messages that may be dropped fill three quarters at most and leave the rest to
    chunks that may not be dropped.

    Dropping leaves a gap in the place of the message, and the next message of the same stream that
    is dropped only widens that gap. So a client that stays behind costs one gap a stream, and reads
    at the right place between the messages it does get which ones it is missing.
    """

    __slots__ = ("_gaps", "_limit", "_messages", "_oldest", "_room", "_size", "_waiting", "dropped")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit * 3 // 4  # for messages that may be dropped
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._size = 0
        self._messages = 0  # waiting, of either policy that drops
        self._oldest: deque[Message] = deque()  # the waiting ones that give way to newer ones
        self._gaps: dict[Hashable, Message] = {}  # the latest gap of each stream, while it waits
        self.dropped = 0

    @property
    def size(self) -> int:
        """Return the bytes that wait and count towards the limit."""
        return self._size

    @property
    def waiting(self) -> int:
        """Return how many chunks wait, of which a gap is one."""
        return len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._waiting

    def keep(self, chunk: Chunk, unsent: int) -> bool:
        """Keep a chunk; return False if it is past the limit with the transport's unsent bytes."""
        size = len(chunk)
        if self._waiting and (
            unsent + self._size + size > self._limit or len(self._waiting) >= MAX_HELD
        ):
            return False
        self._add(Waiting(chunk, size))
        return True

    def keep_uncounted(self, chunk: Chunk) -> None:
        """Keep a chunk of the one replay that is let through whatever its size.

        It is the one that found nothing waiting, so there is never a second. History is bounded
        itself; what comes after it is bounded by the limit as ever.
        """
        self._add(Waiting(chunk, 0))

    def keep_or_drop(self, message: Message, unsent: int) -> None:
        """Keep a message if there is room or room can be made, else a gap in its place.

        One message is kept whatever its size: a client that reads again finds more than a gap.
        """
        gives_way = message.policy is SlowConsumerPolicy.DROP_OLDEST
        has_room = self._has_room(message.size, unsent)
        while not has_room and self._oldest and gives_way:
            self._drop_oldest()
            has_room = self._has_room(message.size, unsent)
        if has_room or not self._messages:
            self._add(message)
            self._messages += 1
            if gives_way:
                self._oldest.append(message)
        elif not self._widen_gap(message):
            self._make_gap(message)
            self._add(message)

    def take(self) -> Chunk | Gap | None:
        """Return what has waited longest, and remove it; None if nothing waits."""
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
        """Add a message to the gap that ends just before it; return False if there is none."""
        gap = self._gaps.get(message.stream)
        if gap is None or gap.last + 1 != message.first or gap.epoch != message.epoch:
            return False
        gap.last = message.last
        self.dropped += 1
        return True

    def _make_gap(self, message: Message) -> None:
        """Turn a message into a gap, in its own place."""
        message.is_gap = True
        message.chunk = b""
        message.size = GAP_BYTES
        self._gaps[message.stream] = message
        self.dropped += 1
