"""What waits for one connection to PostgreSQL, and is asked in its order."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.postgres.link import PostgresConnection
from itemwire.engines.tasks import end

MAX_WAITING: Final = 10_000


class QueuedRequest(Protocol):
    """What somebody waits for."""

    @property
    def answer(self) -> Callable[[Any], None]:
        """Give what takes the result, or an EngineError."""
        ...


A = TypeVar("A", bound=QueuedRequest)


class RequestQueue(ABC, Generic[A]):
    """Has what waits done, up to `most` at once; whoever it cannot be done for is told."""

    def __init__(self, link: PostgresConnection, most: int) -> None:
        self._link = link
        self._most = most
        self._waiting: deque[A] = deque()
        self._is_asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def _do(self, batch: list[A]) -> None:
        """Do and answer it; EngineError if that failed, and then nothing of it was answered."""
        ...

    @property
    def is_running(self) -> bool:
        """Tell whether it does what it is asked."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """Ask no more; whoever waits is told."""
        task, self._task = self._task, None
        await end(task)
        waiting, self._waiting = self._waiting, deque()
        _refuse(waiting, EngineError("the engine was stopped"))

    def _put(self, asked: A) -> None:
        if self._task is None or not self._link.is_connected:
            asked.answer(EngineError("the engine is away"))
        elif len(self._waiting) >= MAX_WAITING:
            asked.answer(EngineError("more waits for the engine than there is room for"))
        else:
            self._waiting.append(asked)
            self._is_asked.set()

    async def _serve(self) -> None:
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            while self._waiting:
                count = min(len(self._waiting), self._most)
                batch = [self._waiting.popleft() for _ in range(count)]
                try:
                    await self._do(batch)
                except EngineError as error:
                    _refuse(batch, error)
                except asyncio.CancelledError:
                    _refuse(batch, EngineError("the engine was stopped"))
                    raise


def _refuse(asked: Iterable[QueuedRequest], error: EngineError) -> None:
    for one in asked:
        tell(one.answer, error)
