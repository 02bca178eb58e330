"""Calls the functions that a program has registered, and survives whatever they raise."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

logger: Final = logging.getLogger("itemwire.client")

Handler = Callable[..., Any]
"""A function of the program, or a coroutine function."""


class Emitter:
    """The registered functions, by event. Those that are coroutines run in tasks of their own."""

    def __init__(self, events: tuple[str, ...]) -> None:
        self._handlers: dict[str, dict[object, Handler]] = {event: {} for event in events}
        self._tasks: set[asyncio.Task[None]] = set()

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Register a function, and return what removes it again."""
        if event not in self._handlers:
            raise ValueError(f"{event!r} is no event: {', '.join(self._handlers)}")
        key = object()  # the same function may be registered twice
        self._handlers[event][key] = handler

        def remove() -> None:
            self._handlers[event].pop(key, None)

        return remove

    def hears(self, event: str) -> bool:
        """Return whether a function is registered."""
        return bool(self._handlers[event])

    @property
    def hears_anything(self) -> bool:
        """Return whether a function is registered for any event."""
        return any(self._handlers.values())

    def emit(self, event: str, *values: object) -> None:
        """Call all functions of an event in their order; a coroutine runs on by itself."""
        for key, handler in list(self._handlers[event].items()):
            if key in self._handlers[event]:  # an earlier one may have removed it
                waits_for = _called(handler, values)
                if waits_for is not None:
                    self._run(waits_for)

    async def call(self, event: str, value: object, still: Callable[[], bool]) -> None:
        """Call all functions of an event and await them one by one, while that is still wanted."""
        for key, handler in list(self._handlers[event].items()):
            if key in self._handlers[event] and still():
                waits_for = _called(handler, (value,))
                if waits_for is not None:
                    await _survive(waits_for)

    def cancel(self) -> None:
        """End the coroutines that still run, but for the one that says so."""
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()

    def _run(self, waits_for: Awaitable[object]) -> None:
        task = asyncio.ensure_future(_survive(waits_for))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _called(handler: Handler, values: tuple[object, ...]) -> Awaitable[object] | None:
    try:
        result = handler(*values)
    except Exception:
        logger.exception("a registered function failed")
        return None
    return result if inspect.isawaitable(result) else None


async def _survive(waits_for: Awaitable[object]) -> None:
    try:
        await waits_for
    except Exception:
        logger.exception("a registered function failed")
