"""Asks an HTTP route's dependencies what a known caller may do with other items."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from fastapi import Request
from fastapi.dependencies.utils import solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Message

from itemwire.authorization.deadline import DECISION_SECONDS
from itemwire.close_reasons import CLOSE_REASONS, INTERNAL, OVERLOADED, CloseReason
from itemwire.responses.rejections import reason_of
from itemwire_auth.authenticator import IDENTITY
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.errors import AuthError
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.refusals import refusal

logger = logging.getLogger("itemwire.refusals")

AT_ONCE: Final = 8  # items of one request, whose rights are worked out side by side

Verdict = Grant | CloseReason


async def grants_of(
    request: Request, route: APIRoute, principal: Principal, items: Sequence[str]
) -> dict[str, Verdict]:
    """Work out for each item what its route would have said to this caller, or why not.

    An application's own dependencies are asked, with the request that came and the item's path.
    """
    verdicts: dict[str, Verdict] = dict.fromkeys(items, OVERLOADED)
    waiting = iter(verdicts)

    async def ask_in_turn() -> None:
        for item_id in waiting:
            verdicts[item_id] = await _ask(request, route, principal, item_id)

    try:
        async with asyncio.timeout(DECISION_SECONDS), asyncio.TaskGroup() as asking:
            for _ in range(min(AT_ONCE, len(verdicts))):
                asking.create_task(ask_in_turn())
    except TimeoutError:
        logger.warning("refused reason=%r path=%r", OVERLOADED.reason, request.scope["path"])
    return verdicts


async def _ask(request: Request, route: APIRoute, principal: Principal, item_id: str) -> Verdict:
    asked = _request_for(request, route, principal, item_id)
    try:
        return await _solved(asked, route)
    except AuthError as error:
        refusal(asked, error)  # which logs and counts it
        return CLOSE_REASONS[error.code]
    except Exception as error:  # whatever a dependency raises, it denies
        cause = error.__cause__
        if isinstance(cause, AuthError):
            return CLOSE_REASONS[cause.code]
        reason = reason_of(error)
        if reason is INTERNAL:
            logger.exception("grant_failed path=%r", asked.scope["path"])
        return reason


def _request_for(request: Request, route: APIRoute, principal: Principal, item_id: str) -> Request:
    """Make the request that the item's own route would have had, of a caller who is known."""
    scope = {
        **request.scope,
        "path": f"/items/{item_id}/messages",
        "path_params": {"item_id": item_id},
        "route": route,
        "endpoint": route.endpoint,
        VERIFIED: principal,
        IDENTITY: principal.identity,
    }
    return Request(scope, _no_body)


async def _solved(request: Request, route: APIRoute) -> Grant:
    """Do what FastAPI does ahead of a route's function; let go at once of what that holds."""
    async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:
        request.scope["fastapi_inner_astack"] = request_stack
        request.scope["fastapi_function_astack"] = function_stack
        outcome = await solve_dependencies(
            request=request,
            dependant=route.dependant,
            dependency_overrides_provider=request.app,
            async_exit_stack=request_stack,
            embed_body_fields=False,
        )
        if outcome.errors:
            raise RequestValidationError(outcome.errors)
        grants = [value for value in outcome.values.values() if isinstance(value, Grant)]
    (grant,) = grants
    return grant


async def _no_body() -> Message:
    raise RuntimeError("the body is that of many items: dependencies only decide")
