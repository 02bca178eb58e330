"""Judges a caller again once the body of its request has come.

A body may take a minute to arrive. What the caller was allowed when the head came says nothing
about the moment at which the body is acted on.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from fastapi import HTTPException, Request

from itemwire.application import application_of
from itemwire.authorization.asking import SOLVED
from itemwire.authorization.deadline import LateDecision, decided, decision_due
from itemwire.authorization.solving import dependant_of, solve, with_overrides
from itemwire.close_reasons import OVERLOADED
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.errors import Forbidden
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.state import auth_of

SLOW_BODY: Final = 1.0  # seconds after which the route's dependencies are asked again


@asynccontextmanager
async def judged_after_body(request: Request, known: Grant | Principal) -> AsyncGenerator[None]:
    """Read a body inside this; on leaving, refuse a caller that may no longer act on it.

    `known` is what the route's dependencies found. Expiry and revocation are always checked. Where
    the body took `SLOW_BODY` or more, the dependencies are asked again, too: they find the same
    request, without a body, from a caller that is verified.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield
    check_still_valid(request, known)  # before others are asked about a caller without a token
    if loop.time() - began >= SLOW_BODY:
        await _ask_again(request, known)
        check_still_valid(request, known)


def check_still_valid(request: Request, known: Grant | Principal) -> None:
    """Refuse a caller whose token has expired or was revoked since the request's head came."""
    auth_of(request).authenticator.check_still_valid(_principal_of(known))


async def _ask_again(request: Request, known: Grant | Principal) -> None:
    principal = _principal_of(known)
    asked = Request({**request.scope, SOLVED: {}, VERIFIED: principal}, _no_body)
    dependant = with_overrides(dependant_of(request), application_of(request.scope).overrides)
    try:
        found = await decided(solve(asked, dependant, type(known), {}), decision_due())
    except LateDecision as error:
        raise HTTPException(OVERLOADED.status, OVERLOADED.reason) from error
    if _principal_of(found).identity != principal.identity:
        raise Forbidden("the dependencies name another caller than before the body")


def _principal_of(known: Grant | Principal) -> Principal:
    return known.principal if isinstance(known, Grant) else known


async def _no_body() -> NoReturn:
    raise RuntimeError("the body was read: a dependency that is asked again cannot read it")
