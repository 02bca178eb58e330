"""What the HTTP connections of one server share, and the flow control of each."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl

from itemwire.fastpath.timeouts import Timeout, TimerLoop
from itemwire.pacing import Pacing

C = TypeVar("C")


class ConnectionTimers(Generic[C]):
    """The timers of all HTTP connections of one server, one for each state they may wait in.

    And the pacing of their requests, which is common to all of them.
    """

    def __init__(
        self,
        loop: TimerLoop,
        *,
        head: tuple[float, Callable[[C], None]],
        idle: tuple[float, Callable[[C], None]],
    ) -> None:
        self.pacing = Pacing()
        self.discarding = Pacing()  # what refused peers send, which no request has to wait for
        self.head = Timeout[C](loop, *head)
        self.idle = Timeout[C](loop, *idle)

    def stop(self, connection: C) -> None:
        """Stop both timers of a connection."""
        self.head.stop(connection)
        self.idle.stop(connection)


class HeldFlow(FlowControl):
    """Flow control that reads nothing more while received data waits to be parsed.

    uvicorn resumes reading whenever an application asks for a body.
    """

    is_held = False

    def hold(self) -> None:
        """Pause reading until `release`."""
        self.is_held = True
        self.pause_reading()

    def release(self) -> None:
        """Resume reading."""
        self.is_held = False
        self.resume_reading()

    @override
    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


def task_of_request(
    running: Coroutine[Any, Any, None], config: Config, loop: asyncio.AbstractEventLoop
) -> asyncio.Task[None]:
    """Return the task that answers a request, with the context that uvicorn gives it."""
    if getattr(config, "reset_contextvars", False):
        return loop.create_task(running, context=contextvars.Context())
    return loop.create_task(running)


def do_nothing() -> None:
    """Ignore that a response is complete: its connection is gone."""
