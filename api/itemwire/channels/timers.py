"""What the core needs of the event loop: calls soon, later, or from another thread."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from typing_extensions import override

CallLater = Callable[[float, Callable[[], None]], object]
"""Makes a call after a number of seconds, on the node's event loop."""


def call_later(seconds: float, callback: Callable[[], None]) -> object:
    """Make a call after a number of seconds, on the running event loop."""
    return asyncio.get_running_loop().call_later(seconds, callback)


class Timers(Protocol):
    """Makes calls on the thread of the node's event loop, one after another."""

    def start(self) -> None:
        """Make the running event loop the node's."""
        ...

    def now(self) -> float:
        """Return the time of the event loop, in seconds, which no clock step changes."""
        ...

    def call_soon(self, callback: Callable[[], None]) -> object:
        """Make a call in the next turn of the event loop."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """Make a call after a number of seconds."""
        ...

    def hand_over(self, callback: Callable[[], None]) -> object:
        """Make a call on the node's thread; the one method that any thread may use."""
        ...


class LoopTimers(Timers):
    """Makes its calls on one asyncio event loop, whichever loop or thread asks for them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    @override
    def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    @override
    def now(self) -> float:
        return self._running().time()

    @override
    def call_soon(self, callback: Callable[[], None]) -> object:
        return self._running().call_soon(callback)

    @override
    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        return self._running().call_later(seconds, callback)

    @override
    def hand_over(self, callback: Callable[[], None]) -> object:
        return self._running().call_soon_threadsafe(callback)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the node is not started: await its start() on its event loop first")
        return self._loop
