"""Tasks that run as long as an engine: repeated work, and a connection kept open."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from itemwire.engines.base import EngineError, UnfitEngine

logger = logging.getLogger("itemwire.engines")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
STOPPED: Final = "the engine was stopped"
SEE_LOG: Final = "see the log"


class StillStarting(EngineError):
    """The server is there, and has yet to begin: it recovers, or chooses who leads."""


def backoff() -> Iterator[float]:
    """Yield pauses that grow up to a bound, with jitter so that nodes do not return in step."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        pause = min(pause * 2, LONGEST_PAUSE)


async def repeat(seconds: float, do: Callable[[], Awaitable[object]]) -> None:
    """Do something every so many seconds, whether or not it failed the last time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await do()
        except Exception:
            # Ending here would end the work for good, and nobody would notice.
            logger.exception("engine_failed")


async def end(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel the tasks that are not None, and wait until they have ended."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


def is_ending() -> bool:
    """Return whether the running task was told to end: libraries raise CancelledError too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class ReconnectingLink(ABC):
    """Keeps one connection to a server open, and opens it anew whenever it breaks.

    A subclass opens the connection, serves it until it breaks, and closes it. When to try again,
    what is logged and what counts as an outage is decided here, once for all engines.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._was_open = False
        self._logged_problem = ""
        self._is_open = False
        self._is_starting = False  # the server, as the last attempt found it
        # A break is no outage yet. Only when an attempt to reconnect has failed as well is the
        # server away, and then nothing waits for it any longer.
        self.is_away = False
        self.problem = "there was no answer yet"
        self._is_unfit = False

    @property
    def is_connected(self) -> bool:
        """Return whether the connection is open, and its library gives no sign that it is dead."""
        return self._is_open and self._is_alive

    @property
    @abstractmethod
    def _is_alive(self) -> bool:
        """Return whether the client library would still use the connection.

        A library may know that a connection is dead without calling anybody: `_serve` has to look.
        """
        ...

    def start(self) -> None:
        """Begin to connect, and go on until `stop`."""
        self._tried.clear()
        self._task = asyncio.create_task(self._keep_open())

    async def first_attempt(self) -> None:
        """Wait until the first attempt to connect has ended; EngineError if it failed.

        Attempts do not count that found the server still starting.
        """
        await self._tried.wait()
        if not self.is_connected:
            raise (UnfitEngine if self._is_unfit else EngineError)(self.problem)

    async def stop(self) -> None:
        """Disconnect and stay disconnected; pending callers get an error."""
        task, self._task = self._task, None
        await end(task)
        self._is_open, self.is_away = False, True
        await self._release(STOPPED)

    @abstractmethod
    async def _open(self) -> None:
        """Connect in limited time and make the connection ready; EngineError says why not."""
        ...

    @abstractmethod
    async def _serve(self) -> str:
        """Look after the open connection until it breaks; return, or raise, the reason."""
        ...

    @abstractmethod
    async def _close(self, problem: str) -> None:
        """Release the connection, and fail everything that waits for an answer on it."""
        ...

    async def _keep_open(self) -> None:
        loop = asyncio.get_running_loop()
        pauses = backoff()
        # What waits below may forget that it was cancelled, if it ends at the same moment.
        while self._task is not None:
            opened_at, self._is_starting = math.inf, False
            try:
                await self._open()
                opened_at = loop.time()
                self._mark_open()
                problem = await self._serve()
            except EngineError as error:
                problem = str(error)
                self._is_unfit = isinstance(error, UnfitEngine)
                self._is_starting = isinstance(error, StillStarting)
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and is_ending():
                    raise
                # Without another attempt the engine would be away for ever.
                logger.exception("engine_failed")
                problem = SEE_LOG
            await self._mark_broken(problem, was_open=opened_at < math.inf)
            # A server that accepts and hangs up at once must not be asked ever faster.
            if loop.time() - opened_at > LONGEST_PAUSE:
                pauses = backoff()
            await asyncio.sleep(next(pauses))

    def _mark_open(self) -> None:
        self._is_open, self.is_away = True, False
        self._was_open, self._logged_problem = True, ""
        logger.info("engine_connected link=%s", self._name)
        self._tried.set()

    async def _mark_broken(self, problem: str, *, was_open: bool) -> None:
        self._is_open, self.is_away = False, not was_open
        self.problem = problem
        # At the start the caller gets the reason. Later each reason is logged once: the attempts
        # of a long outage would fill the log.
        if (self._was_open or self._is_starting) and problem != self._logged_problem:
            self._logged_problem = problem
            if self._was_open:
                logger.warning("engine_lost link=%s problem=%s", self._name, problem)
            else:
                logger.warning("engine_starting link=%s problem=%s", self._name, problem)
        await self._release(problem)
        if not self._is_starting:
            self._tried.set()

    async def _release(self, problem: str) -> None:
        """Close, whatever the library raises at that: it must keep no attempt from being made."""
        try:
            await self._close(problem)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_ending():
                raise
            logger.exception("engine_failed")
