"""What goes out to one client, and what happens when it is too slow."""

from collections import deque
from collections.abc import Callable, Sequence, Sized
from typing import Any, Protocol

from api.channels.holding import MAX_HELD
from api.messages import Frame

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


class Outbox:
    """What waits for a client whose transport is paused: at most `limit` bytes, both together.

    What finds nothing else waiting is kept whatever its size: it alone makes no slow reader.
    """

    __slots__ = ("_limit", "_size", "_waiting")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[Chunk, int]] = deque()
        self._size = 0

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
        self._waiting.append((chunk, size))
        self._size += size
        return True

    def keep_uncounted(self, chunk: Chunk) -> None:
        """Keep a chunk that is bounded otherwise, whatever else waits.

        So the replay that a client asked for when it joined, having had no chance to read yet;
        the history has bounds of its own.
        """
        self._waiting.append((chunk, 0))

    def take(self) -> Chunk | None:
        """Give what has waited longest, None when nothing does."""
        if not self._waiting:
            return None
        chunk, size = self._waiting.popleft()
        self._size -= size
        return chunk
