"""Requests that wait for one connection to PostgreSQL, and are served in their order."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.networked import AWAY, NO_ROOM
from itemwire.engines.postgres.connection import PostgresConnection
from itemwire.engines.tasks import STOPPED, end

MAX_WAITING: Final = 10_000


class QueuedRequest(Protocol):
    """A request with a callback."""

    @property
    def answer(self) -> Callable[[Any], None]:
        """Return the callback for the result, or for an EngineError."""
        ...


R = TypeVar("R", bound=QueuedRequest)


class RequestQueue(ABC, Generic[R]):
    """Serves requests, up to `most` at once; every one of them is answered."""

    def __init__(self, connection: PostgresConnection, most: int) -> None:
        self._connection = connection
        self._most = most
        self._waiting: deque[R] = deque()
        self._has_waiting = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def _serve_batch(self, batch: list[R]) -> None:
        """Serve and answer requests; EngineError if that failed before any was answered."""
        ...

    @property
    def is_running(self) -> bool:
        """Return whether requests are being served."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin to serve."""
        self._task = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """Serve no more; what waits is refused."""
        task, self._task = self._task, None
        await end(task)
        waiting, self._waiting = self._waiting, deque()
        _refuse(waiting, EngineError(STOPPED))

    def _put(self, request: R) -> None:
        if self._task is None or not self._connection.is_connected:
            request.answer(EngineError(AWAY))
        elif len(self._waiting) >= MAX_WAITING:
            request.answer(EngineError(NO_ROOM))
        else:
            self._waiting.append(request)
            self._has_waiting.set()

    async def _serve(self) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            while self._waiting:
                count = min(len(self._waiting), self._most)
                batch = [self._waiting.popleft() for _ in range(count)]
                try:
                    await self._serve_batch(batch)
                except EngineError as error:
                    _refuse(batch, error)
                except asyncio.CancelledError:
                    _refuse(batch, EngineError(STOPPED))
                    raise


def _refuse(requests: Iterable[QueuedRequest], error: EngineError) -> None:
    for request in requests:
        tell(request.answer, error)
