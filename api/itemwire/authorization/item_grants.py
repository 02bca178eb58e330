"""Works out what a known caller may do with many items, by the rules of an HTTP route."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import Message

from itemwire.application import application_of
from itemwire.authorization.asking import SOLVED
from itemwire.authorization.deadline import LateDecision, decided, decision_due
from itemwire.authorization.solving import Dependant, solve, with_overrides
from itemwire.close_reasons import CLOSE_REASONS, FORBIDDEN, INTERNAL, OVERLOADED, CloseReason
from itemwire.responses.rejections import reason_of
from itemwire_auth.authenticator import IDENTITY
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.errors import AuthError
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.refusals import refusal
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.refusals")

AT_ONCE: Final = 8  # items of one request whose rights are worked out concurrently

Verdict = Grant | CloseReason


async def grants_of(
    request: Request, route: APIRoute, principal: Principal, items: Sequence[str]
) -> dict[str, Verdict]:
    """Return for each item the grant to publish its route would have given, or why not.

    The application's own dependencies are asked, with the request that came and the item's path.
    Items whose dependencies have not decided in time are refused as `overloaded`.
    """
    dependant = with_overrides(route.dependant, application_of(request.scope).overrides)
    verdicts: dict[str, Verdict] = dict.fromkeys(items, OVERLOADED)
    waiting = iter(verdicts)

    async def ask_in_turn() -> None:
        for item_id in waiting:
            asked = _request_for(request, route, principal, item_id)
            verdict = await _ask(asked, dependant)
            is_misfit = isinstance(verdict, Grant) and not verdict.fits(
                item_id, principal.identity, Action.PUBLISH
            )
            verdicts[item_id] = FORBIDDEN if is_misfit else verdict

    async def ask_all() -> None:
        async with asyncio.TaskGroup() as asking:
            for _ in range(min(AT_ONCE, len(verdicts))):
                asking.create_task(ask_in_turn())

    try:
        await decided(ask_all(), decision_due())
    except LateDecision:
        logger.warning("refused reason=%r path=%r", OVERLOADED.reason, request.scope["path"])
    return dict(verdicts)  # a copy: a dependency that is left behind may decide yet


async def _ask(request: Request, dependant: Dependant) -> Verdict:
    try:
        return await solve(request, dependant, Grant, {})
    except AuthError as error:
        refusal(request, error)  # which logs and counts it
        return CLOSE_REASONS[error.code]
    except Exception as error:  # whatever a dependency raises, it denies
        cause = error.__cause__
        if isinstance(cause, AuthError):
            return CLOSE_REASONS[cause.code]
        reason = reason_of(error)
        if reason is INTERNAL:
            logger.exception("grant_failed path=%r", request.scope["path"])
        return reason


def _request_for(request: Request, route: APIRoute, principal: Principal, item_id: str) -> Request:
    """Make the request that the item's own route would get, from a verified caller."""
    scope = {
        **request.scope,
        "path": f"{request.scope.get('root_path', '')}/items/{item_id}/messages",
        "path_params": {"item_id": item_id},
        "route": route,
        "endpoint": route.endpoint,
        SOLVED: {},
        VERIFIED: principal,
        IDENTITY: principal.identity,
    }
    return Request(scope, _no_body)


async def _no_body() -> Message:
    raise RuntimeError("the body holds a batch of messages: a dependency cannot read it")
