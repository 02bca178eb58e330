"""Limits how long the application's dependencies may take to decide.

One that is late is cancelled, and has `LAST_SECONDS` to let go of what it holds. One that goes on
regardless is left behind: whoever asked is answered, and nobody waits for it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, Final, TypeVar, cast

from fastapi import WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Message, Scope, Send

from itemwire.authorization.solving import DependencyFailed, is_for_the_process
from itemwire.close_reasons import INTERNAL, OVERLOADED
from itemwire.fastpath.timeouts import Timeout

logger = logging.getLogger("itemwire.refusals")

T = TypeVar("T")

DECISION_SECONDS: Final = 10.0  # for all dependencies of a route together
LAST_SECONDS: Final = 1.0  # for dependencies that are late to end, once they are cancelled
DEADLINE: Final = "itemwire.deadline"  # where a handshake's scope has its own


class LateDecision(Exception):
    """The dependencies have not decided by their deadline."""


def decision_due() -> float:
    """Return when a decision that is asked for now is due, by the event loop's clock."""
    return asyncio.get_running_loop().time() + DECISION_SECONDS


async def decided(deciding: Coroutine[Any, Any, T], due: float) -> T:
    """Return what dependencies decide, or raise LateDecision.

    Raises DependencyFailed if a dependency cancels the task that it runs in.
    """
    task = asyncio.create_task(deciding)
    try:
        await asyncio.wait({task}, timeout=due - asyncio.get_running_loop().time())
        if not task.done():
            await _give_up(task)
            raise LateDecision
    except asyncio.CancelledError:
        await _give_up(task)
        raise
    if task.cancelled():
        raise DependencyFailed("a dependency has cancelled its task")
    return task.result()


async def _give_up(task: asyncio.Task[Any]) -> None:
    task.add_done_callback(_ignore_outcome)
    task.cancel()
    await asyncio.wait({task}, timeout=LAST_SECONDS)


def _ignore_outcome(task: asyncio.Task[Any]) -> None:
    """Look at the exception of a task, so that asyncio does not log that nobody did."""
    if not task.cancelled():
        task.exception()


class DecisionDeadlines:
    """The deadlines of a route's undecided handshakes, all on one timer.

    `asyncio.timeout`, with a timer and a context for each handshake, would take 6 µs.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timeout: Timeout[_Deadline]

    async def enforce(self, scope: Scope, send: Send, handling: Awaitable[None]) -> None:
        """Handle a handshake; refuse it as `overloaded` if nothing ends its deadline in time.

        Refuse it as `internal` if a dependency raises what is no Exception: else the handshake
        would never be answered. If a dependency goes on though it is cancelled, this does not
        return, but the refusal is sent.
        """
        task = cast("asyncio.Task[None]", asyncio.current_task())
        deadline = scope[DEADLINE] = _Deadline(task, self._of_loop(), scope["path"], send)
        try:
            await handling
        except Exception:
            raise
        except BaseException as error:
            refusal = deadline.refusal_for(error)
            if refusal is error:
                raise
            raise refusal from error
        finally:
            deadline.end()

    def _of_loop(self) -> "Timeout[_Deadline]":
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the first one, or the application was started again
            self._loop = loop
            self._timeout = Timeout(loop, DECISION_SECONDS, _Deadline.expire)
        return self._timeout


class _Deadline:
    """The deadline of one handshake, which the task that handles it has to meet."""

    __slots__ = (
        "_cancelling",
        "_is_over",
        "_path",
        "_refusing",
        "_send",
        "_task",
        "_timeout",
        "is_past",
    )

    def __init__(
        self, task: asyncio.Task[None], timeout: "Timeout[_Deadline]", path: str, send: Send
    ) -> None:
        self._task = task
        self._timeout = timeout
        self._path = path
        self._send = send
        self._cancelling = task.cancelling()  # how often others have cancelled it already
        self._refusing: asyncio.Task[None] | None = None
        self.is_past = False
        self._is_over = False
        timeout.start(self)

    def expire(self) -> None:
        """Cancel the task: its time is up."""
        self.is_past = True
        self._task.cancel()
        self._task.get_loop().call_later(LAST_SECONDS, self._refuse_regardless)

    def end(self) -> None:
        """Stop the time."""
        self._is_over = True
        self._timeout.stop(self)
        # What sends for a handshake holds its scope, which holds this: without this line the head
        # of each handshake, perhaps 64 KiB, would stay until a garbage collection.
        self._send = _send_nothing

    def _refuse_regardless(self) -> None:
        """Send the refusal if the task goes on though it was cancelled."""
        if not self._is_over:
            logger.error("decision_stuck path=%r", self._path)
            self._refusing = asyncio.create_task(self._refuse())

    async def _refuse(self) -> None:
        code, reason = OVERLOADED.code, OVERLOADED.reason
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def refusal_for(self, error: BaseException) -> BaseException:
        """Return how a handshake is refused; the error itself if it is for the task to raise."""
        # Others may have cancelled the task, too; then it ends as they want it to.
        if self.is_past and isinstance(error, asyncio.CancelledError):
            if self._task.uncancel() > self._cancelling:
                return error
            logger.error("decision_late path=%r", self._path)
            return WebSocketException(OVERLOADED.code, OVERLOADED.reason)
        if self._is_over or is_for_the_process(error, self._cancelling):
            return error
        logger.error("decision_failed path=%r", self._path, exc_info=error)
        return WebSocketException(INTERNAL.code, INTERNAL.reason)


async def _send_nothing(_message: Message) -> None:
    """Stand for what would send, of a handshake that was answered."""


def end_deadline(connection: HTTPConnection) -> None:
    """Cancel the time limit of a handshake, whose dependencies have decided.

    Raises CancelledError if the deadline has passed and a dependency suppressed the cancellation.
    """
    deadline: _Deadline | None = connection.scope.get(DEADLINE)
    if deadline is None:
        return
    if deadline.is_past:
        raise asyncio.CancelledError
    deadline.end()
