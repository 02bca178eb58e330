"""Time as a client sees it, so that tests can move it; every limit of a wait is here."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from typing_extensions import override

READING_TURNS: Final = 3
"""Turns of the event loop between the end of a wait and its failure.

After a suspended process wakes, what came meanwhile waits in the socket, and every timer is due. In
these turns it is read, so that an answer that is there is not taken for one that is late.
"""


class TimerHandle(Protocol):
    """A call that can be taken back."""

    def cancel(self) -> None:
        """Take it back; one that was made already stays as it is."""
        ...


class ClientClock(Protocol):
    """The time, and calls after a time; called on the client's event loop."""

    def monotonic(self) -> float:
        """Return seconds that no change of the clock touches."""
        ...

    def unix(self) -> float:
        """Return the seconds since 1970, as far as this computer knows."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> TimerHandle:
        """Make a call after a number of seconds."""
        ...


class LoopClock(ClientClock):
    """The real time, by the running event loop."""

    @override
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    @override
    def unix(self) -> float:
        return time.time()

    @override
    def call_later(self, seconds: float, callback: Callable[[], None]) -> TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, callback)


class Limit:
    """Bounds what is awaited inside: raises TimeoutError when the seconds have passed.

    It does what `asyncio.timeout` does, by a clock that a test may move, and lets what has come be
    read first. None is no bound.
    """

    def __init__(self, clock: ClientClock, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._timer: TimerHandle | None = None
        self._turns = READING_TURNS
        self._is_over = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._task = task
        self._cancelling = task.cancelling()
        if self._seconds is not None:
            self._timer = self._clock.call_later(self._seconds, self._expire)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_over:
            return
        # Who cancels the task from outside in the same moment must be heard.
        is_ours = self._task.uncancel() <= self._cancelling
        if is_ours and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        if self._turns:
            self._turns -= 1
            self._timer = asyncio.get_running_loop().call_soon(self._expire)
            return
        self._is_over = True
        self._task.cancel()


async def pause(clock: ClientClock, seconds: float, ending: asyncio.Event) -> None:
    """Wait for a number of seconds, or until the event is set."""
    timer = clock.call_later(seconds, ending.set)
    try:
        await ending.wait()
    finally:
        timer.cancel()
