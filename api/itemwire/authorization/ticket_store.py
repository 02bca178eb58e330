"""Keeps tickets in the engine, so that any node accepts a ticket, and only one does."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from typing_extensions import override

from itemwire.engines.base import Answer, Engine, EngineError
from itemwire_auth.errors import Unavailable
from itemwire_auth.tickets import TicketStore

T = TypeVar("T")

ENGINE_SECONDS: Final = 2.0  # an engine that is away must not hold up handshakes


class EngineTickets(TicketStore):
    """Stores tickets in the engine; raises Unavailable if that fails or takes too long."""

    def __init__(self, engine: Engine, seconds: float = ENGINE_SECONDS) -> None:
        self._engine = engine
        self._seconds = seconds

    @override
    async def put(self, key: str, value: bytes, seconds: float) -> None:
        def ask(answer: Answer[None]) -> None:
            self._engine.put(key, value, seconds, answer)

        await self._answer_of(ask)

    @override
    async def take(self, key: str) -> bytes | None:
        def ask(answer: Answer[bytes | None]) -> None:
            self._engine.take(key, answer)

        return await self._answer_of(ask)

    async def _answer_of(self, ask: Callable[[Answer[T]], None]) -> T:
        answered: asyncio.Future[T | EngineError] = asyncio.get_running_loop().create_future()

        def answer(result: T | EngineError) -> None:
            if not answered.done():  # else it is too late, or the caller was cancelled
                answered.set_result(result)

        ask(answer)
        try:
            result = await asyncio.wait_for(answered, self._seconds)
        except TimeoutError as error:
            raise Unavailable(f"the engine gave no answer in {self._seconds} s") from error
        if isinstance(result, EngineError):
            raise Unavailable(f"the engine cannot keep tickets: {result}") from result
        return result
