"""Ends open event streams when uvicorn stops: it waits for them, and does not tell them."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Callable
from typing import Final, Protocol, runtime_checkable

POLL_SECONDS: Final = 0.5

End = Callable[[], None]
"""Ends one stream."""


@runtime_checkable
class Stoppable(Protocol):
    """A server that says whether it is about to stop, as uvicorn's does."""

    should_exit: bool


def find_server() -> Stoppable | None:
    """Return the server that runs this process, the one that handles SIGTERM; None elsewhere.

    An application has no other way to reach it: the lifespan's shutdown comes only after all
    responses have ended.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, Stoppable) else None


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
