"""What runs as long as an engine does: its pause before it tries again, and its end."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

logger = logging.getLogger("itemwire.engines")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


def backoff() -> Iterator[float]:
    """Give pauses that grow up to a bound, and differ between the nodes that lost one server."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        pause = min(pause * 2, LONGEST_PAUSE)


async def repeat(seconds: float, do: Callable[[], Awaitable[object]]) -> None:
    """Do something every so many seconds, whatever came of it the last time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await do()
        except Exception:
            # Without the next time nobody would ever look again, and nobody would be told.
            logger.exception("engine_failed")


async def end(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel tasks, those that there are, and wait until they have ended."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
