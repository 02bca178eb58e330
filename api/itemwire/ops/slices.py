"""Walks what is large in slices, so that the event loop goes on in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

SLICE: Final = 500  # of a look that takes 1 µs or two each


async def in_slices(values: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Yield parts of a sequence; every other task has a turn between two of them."""
    for start in range(0, len(values), SLICE):
        if start:
            await asyncio.sleep(0)
        yield values[start : start + SLICE]
