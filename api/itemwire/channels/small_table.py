"""A table that takes the memory of a dict only once it has two entries."""

from collections.abc import Collection, Iterator, MutableMapping
from typing import TypeVar, cast

from typing_extensions import override

V = TypeVar("V")


class SmallTable(MutableMapping[str, V]):
    """Values by text, in the order in which they were added.

    A dict with one entry takes 200 bytes, this one 48: nearly every connection is on one channel,
    and most do nothing but listen there.
    """

    __slots__ = ("_key", "_value")

    def __init__(self) -> None:
        self._key: str | None = None  # of the one value; None where there is none, or a dict
        self._value: V | dict[str, V] | None = None

    @property
    def _dict(self) -> dict[str, V]:
        """Return all entries in a dict, which is kept if there are several or none."""
        if self._key is None:
            return cast("dict[str, V]", self._value or {})
        return {self._key: cast("V", self._value)}

    @override
    def __getitem__(self, key: str) -> V:
        return self._dict[key]

    @override
    def __setitem__(self, key: str, value: V) -> None:
        if len(self) == 0 or self._key == key:
            self._key, self._value = key, value
            return
        entries = self._dict
        entries[key] = value
        self._key, self._value = None, entries

    @override
    def __delitem__(self, key: str) -> None:
        entries = self._dict
        del entries[key]
        if self._key is not None:
            self._key = self._value = None

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    @override
    def __len__(self) -> int:
        if self._key is not None:
            return 1
        return len(cast("dict[str, V]", self._value)) if self._value else 0

    @override
    def values(self) -> Collection[V]:  # type: ignore[override] # a list is enough, and faster
        """Return all values that are there now."""
        if self._key is not None:
            return (cast("V", self._value),)
        return list(self._dict.values())
