"""What routes declare beside the caller, and what they ask of the application."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import HTTPException, Query, Security, WebSocket, WebSocketException, status
from pydantic import AfterValidator, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from itemwire.channels.delivery.recovery import LIVE, Start
from itemwire.channels.limits.requests import RequestKind, TokenBuckets
from itemwire.channels.node import Node
from itemwire.close_reasons import OVERLOADED, QUERY_INVALID, RATE_LIMITED
from itemwire.engines.base import Answer, EngineError
from itemwire.messages import read_position
from itemwire_auth.dependencies import permitted, refusal
from itemwire_auth.errors import ScopeMissing
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")

T = TypeVar("T")

MOST_WAIT: Final = 60.0  # seconds, to who asks in vain all the time
ENGINE_SECONDS: Final = 5.0  # engines answer sooner, if only that they cannot

SubscribeGrant = Annotated[Grant, Security(permitted, scopes=[Action.SUBSCRIBE])]

Replay = Annotated[int, Query(ge=0, description="How many recent messages come first.")]


def written_position(written: str | None) -> str | None:
    """Give a position as it is written, if it is written as one."""
    if written is not None:
        read_position(written)
    return written


Since = Annotated[
    str | None,
    Query(description="The position, <epoch>:<offset>, to go on from."),
    AfterValidator(written_position),
]


_SINCE: Final = TypeAdapter[str | None](Since)
_REPLAY: Final = TypeAdapter[int](Replay)


def node_of(connection: HTTPConnection) -> Node:
    """Find the node of this application.

    No dependency: each costs a handshake 8 µs, and this one decides nothing.
    """
    node: Node = connection.app.state.node
    return node


def start_of(connection: HTTPConnection, grant: Grant, since: str | None, replay: int) -> Start:
    """Say where a subscription begins, or refuse.

    A replay is no less than reading history. To go on from a position is to hear what a subscriber
    that had stayed would have heard, so it needs no other right than that.
    """
    if replay and not grant.allows(Action.HISTORY):
        raise refusal(connection, ScopeMissing("replay needs the right to history"))
    return Start(read_position(since) if since is not None else None, replay)


def start_asked(websocket: WebSocket, grant: Grant) -> Start:
    """Say where a subscription begins by the query of its handshake, or refuse.

    The route declares no parameters: FastAPI takes 30 µs over each, also where none is sent.
    """
    query = websocket.query_params
    if "since" not in query and "replay" not in query:
        return LIVE
    try:
        since = _SINCE.validate_python(query.get("since"))
        replay = _REPLAY.validate_python(query.get("replay", 0))
    except ValidationError as error:
        raise WebSocketException(QUERY_INVALID.code, QUERY_INVALID.reason) from error
    return start_of(websocket, grant, since, replay)


@dataclass(slots=True)
class _Caller:
    """Who asks over HTTP, as rates know it: without a connection that lasts."""

    principal: Principal
    id: str = "http"
    buckets: TokenBuckets | None = None


def wait_of(node: Node, principal: Principal, kind: RequestKind, size: int) -> float:
    """Take for one request from what its subject may ask; else tell the seconds to wait."""
    if node.rates is None:
        return 0.0
    caller = _Caller(principal)
    wait = node.rates.spend(caller, kind, size)
    node.rates.release(caller)
    return min(wait, MOST_WAIT)


def spend(connection: HTTPConnection, principal: Principal, kind: RequestKind, size: int) -> None:
    """Take for one request from what its subject may ask, or refuse."""
    wait = wait_of(node_of(connection), principal, kind, size)
    if wait:
        headers = {"Retry-After": str(math.ceil(wait))}
        raise HTTPException(RATE_LIMITED.status, RATE_LIMITED.reason, headers)


async def answer_of(ask: Callable[[Answer[T]], None]) -> T:
    """Ask the engine and give its answer, or refuse for now."""
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            answer = await asked(ask)
    except TimeoutError:
        answer = EngineError(f"no answer in {ENGINE_SECONDS:g} s")
    if isinstance(answer, EngineError):
        logger.error("engine_failed problem=%s", answer)
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, OVERLOADED.reason)
    return answer


def asked(ask: Callable[[Answer[T]], None]) -> asyncio.Future[T | EngineError]:
    """Ask the engine; its answer comes later, perhaps when nobody waits for it any more."""
    answered: asyncio.Future[T | EngineError] = asyncio.get_running_loop().create_future()

    def take(answer: T | EngineError) -> None:
        if not answered.done():
            answered.set_result(answer)

    ask(take)
    return answered
