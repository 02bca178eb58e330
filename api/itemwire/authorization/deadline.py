"""Limits how long the dependencies of a handshake may take to decide."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, cast

from fastapi import WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from itemwire.authorization.solving import is_for_the_process
from itemwire.close_reasons import INTERNAL, OVERLOADED
from itemwire.fastpath.timeouts import Timeout

logger = logging.getLogger("itemwire.refusals")

DECISION_SECONDS: Final = 10.0  # for all dependencies of a route together
DEADLINE: Final = "itemwire.deadline"  # where a handshake's scope has its own


class DecisionDeadlines:
    """The deadlines of a route's undecided handshakes, all on one timer.

    `asyncio.timeout`, with a timer and a context for each handshake, would take 6 µs.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timeout: Timeout[_Deadline]

    async def enforce(self, scope: Scope, handling: Awaitable[None]) -> None:
        """Handle a handshake; refuse it as `overloaded` if nothing ends its deadline in time.

        Refuse it as `internal` if a dependency raises what is no Exception: else the handshake
        would never be answered.
        """
        task = cast("asyncio.Task[None]", asyncio.current_task())
        deadline = scope[DEADLINE] = _Deadline(task, self._of_loop())
        try:
            await handling
        except Exception:
            raise
        except BaseException as error:
            refusal = deadline.refusal_for(error, task, scope["path"])
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

    __slots__ = ("_is_over", "_task", "_timeout", "cancelling", "is_past")

    def __init__(self, task: asyncio.Task[None], timeout: "Timeout[_Deadline]") -> None:
        self._task = task
        self._timeout = timeout
        self.cancelling = task.cancelling()  # how often others have cancelled it already
        self.is_past = False
        self._is_over = False
        timeout.start(self)

    def expire(self) -> None:
        """Cancel the task: its time is up."""
        self.is_past = True
        self._task.cancel()

    def end(self) -> None:
        """Stop the time."""
        self._is_over = True
        self._timeout.stop(self)

    def refusal_for(
        self, error: BaseException, task: "asyncio.Task[None]", path: str
    ) -> BaseException:
        """Return how a handshake is refused; the error itself if it is for the task to raise."""
        # Others may have cancelled the task, too; then it ends as they want it to.
        if self.is_past and isinstance(error, asyncio.CancelledError):
            if task.uncancel() > self.cancelling:
                return error
            logger.error("decision_late path=%r", path)
            return WebSocketException(OVERLOADED.code, OVERLOADED.reason)
        if self._is_over or is_for_the_process(error, self.cancelling):
            return error
        logger.error("decision_failed path=%r", path, exc_info=error)
        return WebSocketException(INTERNAL.code, INTERNAL.reason)


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
