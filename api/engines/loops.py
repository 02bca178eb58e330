"""What runs as long as an engine does: its pause before it tries again, and its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Final

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


def backoff() -> Iterator[float]:
    """Give pauses that grow up to a bound, and differ between the nodes that lost one server."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        pause = min(pause * 2, LONGEST_PAUSE)


async def end(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel tasks, those that there are, and wait until they have ended."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
