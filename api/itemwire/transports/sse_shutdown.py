"""Ends open event streams when uvicorn stops: it waits for them, and does not tell them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

from itemwire_auth.stopping import Stoppable, find_server

POLL_SECONDS: Final = 0.5

End = Callable[[], None]
"""Ends one stream."""


class OpenStreams:
    """The event streams that are open, and how to end each."""

    def __init__(self, find: Callable[[], Stoppable | None] = find_server) -> None:
        self._find = find
        self._ends: set[End] = set()

    def add(self, end: End) -> None:
        """Call `end` when the server stops."""
        self._ends.add(end)

    def discard(self, end: End) -> None:
        """Call `end` no longer: its stream is over."""
        self._ends.discard(end)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Look at intervals whether the server is about to stop."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _watch(self) -> None:
        server = self._find()
        while server is not None:
            await asyncio.sleep(POLL_SECONDS)
            for end in tuple(self._ends) if server.should_exit else ():
                end()
