"""Closes what the dependencies of a route hold, before its socket waits."""

from contextlib import AsyncExitStack
from typing import Final

from starlette.requests import HTTPConnection

FUNCTION_STACK: Final = "fastapi_function_astack"  # closed as soon as the endpoint returns
REQUEST_STACK: Final = "fastapi_inner_astack"  # closed once the response is sent


async def release(connection: HTTPConnection) -> None:
    """Close what a route's `yield` dependencies hold, now that they have decided.

    FastAPI keeps them open until the endpoint returns, so an open socket would pin a database
    session. Closing the stacks early leaves FastAPI nothing to close.
    """
    for name in (FUNCTION_STACK, REQUEST_STACK):
        # Starlette's own routes have none.
        stack: AsyncExitStack | None = connection.scope.get(name)
        if stack is not None:
            await stack.aclose()
