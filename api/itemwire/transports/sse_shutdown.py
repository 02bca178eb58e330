"""Ends the streams when uvicorn stops, which waits for them and does not tell them."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol, runtime_checkable

POLL_SECONDS: Final = 0.5

End = Callable[[], None]


@runtime_checkable
class Stoppable(Protocol):
    """A server that says whether it is to stop, as uvicorn's does."""

    should_exit: bool


def find_server() -> Stoppable | None:
    """Find the server that runs this process: whose method handles SIGTERM; None elsewhere.

    An application can reach it in no other way, and hears of the end only when all is over.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, Stoppable) else None


class Streams:
    """The answers without end that are under way, and how to end each."""

    def __init__(self, find: Callable[[], Stoppable | None] = find_server) -> None:
        self._find = find
        self._ends: set[End] = set()

    def add(self, end: End) -> None:
        """Call this when the server stops."""
        self._ends.add(end)

    def discard(self, end: End) -> None:
        """Call it no longer: the stream is over."""
        self._ends.discard(end)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look now and then whether the server is to stop, for as long as it runs."""
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
