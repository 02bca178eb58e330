"""Runs what an application is asked one after the other, without anybody waiting for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Self, TypeVar

from typing_extensions import override

from itemwire.authorization.deadline import DECISION_SECONDS
from itemwire.authorization.solving import is_for_the_process
from itemwire.close_reasons import (
    CLOSE_REASONS,
    INTERNAL,
    OVERLOADED,
    PAYLOAD_INVALID,
    CloseReason,
)
from itemwire.responses.problems import UNPROCESSABLE
from itemwire.responses.rejections import reason_of
from itemwire.rules.typed_calls import DataFault
from itemwire_auth.closing import SERVER_ERROR, sendable_text
from itemwire_auth.errors import AuthError

logger = logging.getLogger("itemwire.calls")

T = TypeVar("T")

AT_ONCE: Final = 100  # calls of an application's functions that run concurrently on a node
MAX_WAITING: Final = 1000  # more on a node, of all clients together
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024  # the same
MAX_WAITING_OF_ONE: Final = 16  # of one client; one more runs

Work = Callable[[], Awaitable[None]]


class Calls(AbstractAsyncContextManager["Calls"]):
    """The calls of an application's functions that run, or wait to be run, on one node.

    Each has `DECISION_SECONDS`, from the moment its turn comes. Leaving this lets them go on for
    `grace` seconds, cancels those that run then, and waits until their dependencies are closed.
    """

    def __init__(self, limit: int = MAX_WAITING, grace: float = 0) -> None:
        self._limit = limit
        self._grace = grace
        self._tasks: set[asyncio.Task[Any]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._waiting_bytes = 0
        self._is_open = False

    @override
    async def __aenter__(self) -> Self:
        self._slots = asyncio.Semaphore(AT_ONCE)  # it belongs to the loop it has waited on
        self._is_open = True
        return self

    @override
    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        if self._grace and self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._grace)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something as a task that ends with this at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def reserve(self, size: int) -> bool:
        """Make room for a call with so many bytes of data; return False if there is none."""
        if (
            not self._is_open
            or self._waiting >= self._limit
            or self._waiting_bytes + size > MAX_WAITING_BYTES
        ):
            return False
        self._waiting += 1
        self._waiting_bytes += size
        return True

    def release(self, size: int) -> None:
        """Give back the room of a call that was made."""
        self._waiting -= 1
        self._waiting_bytes -= size

    async def within_deadline(self, work: Callable[[], Awaitable[T]], name: str) -> T | CloseReason:
        """Return what a call returns, or why it is refused: `overloaded` if it took too long.

        One that goes on regardless, in a thread, keeps its slot until it ends.
        """
        task = self.begin(self._in_slot(work, name))
        try:
            await asyncio.wait({task}, timeout=DECISION_SECONDS)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done() and not task.cancelled():
            return task.result()
        if not task.done():
            task.cancel()
            logger.error("call_late name=%r", name)
        return OVERLOADED

    async def _in_slot(self, work: Callable[[], Awaitable[T]], name: str) -> T | CloseReason:
        async with self._slots:
            try:
                return await work()
            except BaseException as error:
                if is_for_the_process(error):
                    raise
                return _refusal_of(error, name)


class CallQueue:
    """Work of one client, done in the order in which it came.

    A task runs only while there is some. What work raises is logged, and the next is done.
    """

    __slots__ = ("_calls", "_is_running", "_limit", "_waiting")

    def __init__(self, calls: Calls, limit: int = MAX_WAITING_OF_ONE) -> None:
        self._calls = calls
        self._limit = limit
        self._waiting: deque[tuple[Work, int]] = deque()
        self._is_running = False

    def submit(self, work: Work, size: int) -> bool:
        """Do a piece of work with so many bytes of data after those before it.

        Return False where too much waits already, of this client or on this node.
        """
        if len(self._waiting) >= self._limit or not self._calls.reserve(size):
            return False
        self._waiting.append((work, size))
        if not self._is_running:
            self._is_running = True
            self._calls.begin(self._run())
        return True

    async def _run(self) -> None:
        try:
            while self._waiting:
                work, size = self._waiting.popleft()
                try:
                    await work()
                except Exception:
                    logger.exception("call_failed")
                finally:
                    self._calls.release(size)
        finally:
            self._is_running = False
            while self._waiting:  # it was cancelled
                self._calls.release(self._waiting.popleft()[1])


def _refusal_of(error: BaseException, name: str) -> CloseReason:
    """Return why a call is refused by what it raised; what is no refusal is logged."""
    if isinstance(error, DataFault):
        return _told(PAYLOAD_INVALID, str(error), status=UNPROCESSABLE)
    if isinstance(error, AuthError):
        return CLOSE_REASONS[error.code]
    reason = reason_of(error) if isinstance(error, Exception) else INTERNAL
    if reason is INTERNAL:
        logger.error("call_failed name=%r", name, exc_info=error)
    detail = getattr(error, "detail", None)
    is_told = getattr(error, "status_code", SERVER_ERROR) < SERVER_ERROR
    return _told(reason, detail) if is_told and isinstance(detail, str) else reason


def _told(reason: CloseReason, meaning: str, *, status: int | None = None) -> CloseReason:
    told = sendable_text(meaning)
    return CloseReason(reason.reason, reason.code, reason.retry, status or reason.status, told)
