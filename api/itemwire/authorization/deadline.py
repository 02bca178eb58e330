"""How long the dependencies of a handshake may take to decide."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, cast

from fastapi import WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from itemwire.close_reasons import OVERLOADED
from itemwire.fastpath.timeouts import Timeout

logger = logging.getLogger("itemwire.refusals")

DECISION_SECONDS: Final = 10.0  # for all dependencies of a route together
DECISION: Final = "itemwire.decision"


class Decisions:
    """The handshakes of a route that are being decided on: one timer for all.

    A timeout of asyncio each, with its timer and its context, takes a handshake 6 µs.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timeout: Timeout[_Decision]

    async def in_time(self, scope: Scope, decision: Awaitable[None]) -> None:
        """Refuse a handshake for now if its dependencies have not decided in time."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        one = scope[DECISION] = _Decision(task, self._of_loop())
        try:
            await decision
        except asyncio.CancelledError as error:
            if not one.is_late or task.uncancel() > one.cancelling:
                raise
            path = scope["path"]
            logger.error("decision_late path=%r", path)  # noqa: TRY400 - nothing of it is ours
            raise WebSocketException(OVERLOADED.code, OVERLOADED.reason) from error
        finally:
            one.end()

    def _of_loop(self) -> "Timeout[_Decision]":
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the application's first, or it was started anew
            self._loop = loop
            self._timeout = Timeout(loop, DECISION_SECONDS, _Decision.give_up)
        return self._timeout


class _Decision:
    """One handshake, by the task that decides on it."""

    __slots__ = ("_task", "_timeout", "cancelling", "is_late")

    def __init__(self, task: asyncio.Task[None], timeout: "Timeout[_Decision]") -> None:
        self._task = task
        self._timeout = timeout
        self.cancelling = task.cancelling()  # by others
        self.is_late = False
        timeout.start(self)

    def give_up(self) -> None:
        """Cancel it: its time is up."""
        self.is_late = True
        self._task.cancel()

    def end(self) -> None:
        """Let what follows take its time."""
        self._timeout.stop(self)


def decided(connection: HTTPConnection) -> None:
    """Let what follows take its time: the dependencies have decided."""
    decision: _Decision | None = connection.scope.get(DECISION)
    if decision is None:
        return
    if decision.is_late:  # one of them went on all the same
        raise asyncio.CancelledError
    decision.end()
