"""What the core needs of the event loop: calls in a moment, later, or from another thread."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from typing_extensions import override

CallLater = Callable[[float, Callable[[], None]], object]
"""Makes a call so many seconds later, on the node's event loop."""


def call_later(seconds: float, callback: Callable[[], None]) -> object:
    """Make a call so many seconds later, on the event loop that is running now."""
    return asyncio.get_running_loop().call_later(seconds, callback)


class Timers(Protocol):
    """Makes calls on the thread of the node's event loop, one after another."""

    def start(self) -> None:
        """Take the event loop that is running now as the node's."""
        ...

    def call_soon(self, callback: Callable[[], None]) -> object:
        """Make a call once the event loop has done what is at hand."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """Make a call so many seconds later."""
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
