"""Keeps things in order until somebody is ready for them, within bounds."""

from typing import Final, Generic, TypeVar

T = TypeVar("T")

MAX_HELD: Final = 8192  # small things take memory that their bytes do not show


class BoundedBuffer(Generic[T]):
    """A list that refuses what would take it past so many bytes, or past `MAX_HELD` things."""

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, limit: int) -> None:
        self._held: list[T] = []
        self._limit = limit
        self._size = 0

    def keep(self, thing: T, size: int) -> bool:
        """Keep a thing of so many bytes; False: it is past the bounds and not kept."""
        if self._size + size > self._limit or len(self._held) >= MAX_HELD:
            return False
        self._held.append(thing)
        self._size += size
        return True

    @property
    def first(self) -> T | None:
        """Give what was kept first; None: nothing was."""
        return self._held[0] if self._held else None

    def release(self) -> list[T]:
        """Give what was kept, and forget it."""
        held, self._held, self._size = self._held, [], 0
        return held
