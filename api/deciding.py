"""How long the dependencies of a handshake may take to decide."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

from fastapi import WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from api.closing import OVERLOADED

logger = logging.getLogger("itemwire.refusals")

DECISION_SECONDS: Final = 10.0  # for all dependencies of a route together
DEADLINE: Final = "itemwire.deadline"


@contextlib.asynccontextmanager
async def deciding(scope: Scope) -> AsyncIterator[None]:
    """Refuse a handshake for now if its dependencies have not decided in time."""
    deadline = asyncio.timeout(DECISION_SECONDS)
    try:
        async with deadline:
            scope[DEADLINE] = deadline
            yield
    except TimeoutError as error:
        if not deadline.expired():
            raise
        logger.error("decision_late path=%r", scope["path"])  # noqa: TRY400 - nothing of it is ours
        raise WebSocketException(OVERLOADED.code, OVERLOADED.reason) from error


def decided(connection: HTTPConnection) -> None:
    """Let what follows take its time: the dependencies have decided."""
    deadline: asyncio.Timeout | None = connection.scope.get(DEADLINE)
    if deadline is not None:
        deadline.reschedule(None)
