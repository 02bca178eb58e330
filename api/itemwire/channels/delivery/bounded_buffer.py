"""Holds things back, in their order and within bounds, until they can be dealt with."""

from typing import Final, Generic, TypeVar

T = TypeVar("T")

MAX_HELD: Final = 8192  # things; small ones take memory that their bytes do not show


class BoundedBuffer(Generic[T]):
    """A list that refuses whatever would take it past so many bytes or `MAX_HELD` items."""

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, limit: int) -> None:
        self._held: list[T] = []
        self._limit = limit
        self._size = 0

    def offer(self, item: T, size: int) -> bool:
        """Hold an item of so many bytes; return False if there is no room for it."""
        if self._size + size > self._limit or len(self._held) >= MAX_HELD:
            return False
        self._held.append(item)
        self._size += size
        return True

    @property
    def first(self) -> T | None:
        """Return the item that was added first; None if the buffer is empty."""
        return self._held[0] if self._held else None

    def take_all(self) -> list[T]:
        """Return all items, the oldest first, and leave the buffer empty."""
        held, self._held, self._size = self._held, [], 0
        return held
