"""What waits for one client, and what happens when it is too slow."""

from collections import deque
from typing import Protocol

from api.channels.holding import MAX_HELD
from api.messages import Frame


class Transport(Protocol):
    """The sending half of an accepted socket, as the core sees it.

    No method waits, raises, or calls the session before it returns: the fan-out walks its list of
    subscribers while it calls them.
    """

    def write(self, frame: Frame) -> bool:
        """Take one frame; False: take no more before the session's `writable()` is called."""
        ...

    def close(self, code: int, reason: str, *, flush: bool) -> None:
        """Send the close frame and end, in bounded time.

        The frames still waiting go first, asked for through `writable()`. Without `flush` they do
        so only if the peer reads: one that is stuck is closed over what it has not taken.
        """
        ...


class Outbox:
    """Frames on their way to one client, in order, with at most `limit` bytes waiting.

    A frame that finds the transport ready is handed over at once and counts nothing here. One that
    finds nothing else waiting is kept whatever its size: it alone makes no slow reader.
    """

    __slots__ = ("_limit", "_size", "_transport", "_waiting", "_writable")

    def __init__(self, transport: Transport, limit: int) -> None:
        self._transport = transport
        self._limit = limit
        self._waiting: deque[tuple[Frame, int]] = deque()
        self._size = 0
        self._writable = True

    def push(self, frame: Frame, size: int) -> bool:
        """Send the frame or keep it for later; False: it is past the limit and not kept.

        Its size in bytes comes along, measured once for all who get the frame.
        """
        if self._writable:
            self._writable = self._transport.write(frame)
            return True
        if (self._size and self._size + size > self._limit) or len(self._waiting) >= MAX_HELD:
            return False
        self._waiting.append((frame, size))
        self._size += size
        return True

    def push_uncounted(self, frame: Frame) -> None:
        """Send or keep a frame that is bounded otherwise, whatever else waits.

        So the replay that a client asked for when it joined, having had no chance to read yet;
        the history has bounds of its own.
        """
        if self._writable:
            self._writable = self._transport.write(frame)
        else:
            self._waiting.append((frame, 0))

    def flush(self) -> None:
        """Go on with what waits: the transport takes frames again."""
        self._writable = True
        while self._writable and self._waiting:
            frame, size = self._waiting.popleft()
            self._size -= size
            self._writable = self._transport.write(frame)

    def discard(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._size = 0
