"""What the core asks of the event loop: to be called, in a moment or later."""

import asyncio
from collections.abc import Callable

CallLater = Callable[[float, Callable[[], None]], object]
"""Calls something so many seconds later, in the event loop."""


def call_soon(callback: Callable[[], None]) -> object:
    """Call something once the running event loop has done what is at hand."""
    return asyncio.get_running_loop().call_soon(callback)


def call_later(seconds: float, callback: Callable[[], None]) -> object:
    """Call something so many seconds later, on the running event loop."""
    return asyncio.get_running_loop().call_later(seconds, callback)
