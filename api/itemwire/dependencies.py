"""Parameters that routes share, and what endpoints ask of their application."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import HTTPException, Query, Security, WebSocket, WebSocketException
from pydantic import AfterValidator, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from itemwire.assembly import ASSEMBLY, Assembly
from itemwire.channels.client_options import NO_OPTIONS, ClientOptions
from itemwire.channels.delivery.recovery import LIVE, StartPoint
from itemwire.channels.delivery.resume import read_since
from itemwire.channels.limits.item_rules import MessageRefused
from itemwire.channels.limits.requests import RequestKind, TokenBuckets
from itemwire.channels.names import channel_of
from itemwire.channels.node import Node
from itemwire.close_reasons import (
    MESSAGE_TOO_BIG,
    PAYLOAD_INVALID,
    QUERY_INVALID,
    RATE_LIMITED,
)
from itemwire.engines.base import Answer, EngineError
from itemwire.engines.callbacks import asked
from itemwire.responses.hints import asks_for_hints
from itemwire.responses.problems import CONTENT_TOO_LARGE, UNPROCESSABLE, CodedProblem
from itemwire_auth.dependencies import permitted
from itemwire_auth.errors import Forbidden, ScopeMissing
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.refusals import refusal
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")

T = TypeVar("T")

MAX_WAIT: Final = 60.0  # seconds; a caller that never stops asking would be told hours

HINTS: Final = frozenset({"0", "1"})

HEARTBEATS: Final[dict[str | None, int]] = {None: 0, **{str(one): one for one in range(5, 301)}}
"""How many seconds there may be between two signs of life, as a query says it."""

SubscribeGrant = Annotated[Grant, Security(permitted, scopes=[Action.SUBSCRIBE])]

HTTP_STATUSES: Final = {
    MESSAGE_TOO_BIG: CONTENT_TOO_LARGE,
    PAYLOAD_INVALID: UNPROCESSABLE,
}
"""The statuses of a message that does not fit the rules of its item."""

Replay = Annotated[int, Query(ge=0, description="How many recent messages come first.")]


def written_position(written: str | None) -> str | None:
    """Return a position as it was written; ValueError if it is not written as one."""
    if written is not None:
        read_since(written)
    return written


Since = Annotated[
    str | None,
    Query(description="The position to go on from: <resume>:<offset>, or <epoch>:<offset>."),
    AfterValidator(written_position),
]


_SINCE: Final = TypeAdapter[str | None](Since)
_REPLAY: Final = TypeAdapter[int](Replay)


def assembly_of(connection: HTTPConnection) -> Assembly:
    """Return the parts of this connection's application.

    Called by the endpoints, and not a dependency: each of those costs a handshake 8 µs.
    """
    assembly: Assembly = connection.scope[ASSEMBLY]
    return assembly


def node_of(connection: HTTPConnection) -> Node:
    """Return the node of this connection's application."""
    return assembly_of(connection).node


def start_of(
    connection: HTTPConnection, grant: Grant, since: str | None, replay: int
) -> StartPoint:
    """Return where a subscription begins, or refuse.

    A replay is reading history, and needs that right. Without it, going on from a position needs
    proof that this caller was there, and without either the client is told `recovered: false`.
    """
    if replay and not grant.allows(Action.HISTORY):
        reason = ScopeMissing if grant.principal.rights.is_of_token else Forbidden
        raise refusal(connection, reason("replay needs the right to history"))
    return StartPoint.of(since, replay)


def start_asked(websocket: WebSocket, grant: Grant) -> StartPoint:
    """Return where a subscription begins by the query of its handshake, or refuse.

    The route declares no parameters for this: FastAPI takes 30 µs for each, sent or not.
    """
    raw: bytes = websocket.scope["query_string"]
    if not raw:  # as most
        return LIVE
    query = websocket.query_params
    if "since" not in query and "replay" not in query:
        return LIVE
    try:
        since = _SINCE.validate_python(query.get("since"))
        replay = _REPLAY.validate_python(query.get("replay", 0))
    except ValidationError as error:
        raise WebSocketException(QUERY_INVALID.code, QUERY_INVALID.reason) from error
    return start_of(websocket, grant, since, replay)


def options_asked(websocket: WebSocket) -> ClientOptions:
    """Return what the query of a handshake asks for beside a codec, or refuse."""
    raw: bytes = websocket.scope["query_string"]
    if b"hints=" not in raw and b"heartbeat=" not in raw:  # as most
        return NO_OPTIONS
    query = websocket.query_params
    heartbeat = query.get("heartbeat")
    if query.get("hints", "0") not in HINTS or heartbeat not in HEARTBEATS:
        raise WebSocketException(QUERY_INVALID.code, QUERY_INVALID.reason)
    return ClientOptions(asks_for_hints(websocket.scope), HEARTBEATS[heartbeat])


@dataclass(slots=True)
class _Caller:
    """The caller of an HTTP request, in place of a connection for the rate limits."""

    principal: Principal
    id: str = "http"
    buckets: TokenBuckets | None = None


def wait_of(node: Node, principal: Principal, kind: RequestKind, size: int) -> float:
    """Charge a request to its subject's rate limit; return the seconds to wait, or 0."""
    if node.rates is None:
        return 0.0
    caller = _Caller(principal)
    wait = node.rates.spend(caller, kind, size)
    node.rates.release(caller)
    return min(wait, MAX_WAIT)


def spend(connection: HTTPConnection, principal: Principal, kind: RequestKind, size: int) -> None:
    """Charge a request to its subject's rate limit, or refuse it with 429 and Retry-After."""
    _refuse_until(wait_of(node_of(connection), principal, kind, size))


def wait_to_publish(node: Node, principal: Principal, item_id: str, size: int) -> float:
    """Charge a message to its subject's rates; return the seconds to wait, or 0."""
    wait = wait_of(node, principal, RequestKind.PUBLISH, size)
    wait = wait or node.publishing.spend_by_rule(principal.identity, item_id, size)
    if wait or node.rates is None:
        return min(wait, MAX_WAIT)
    caller = _Caller(principal)
    wait = node.publishing.spend_deliveries(caller, channel_of(item_id), size)
    node.rates.release(caller)
    return min(wait, MAX_WAIT)


def spend_publish(connection: HTTPConnection, grant: Grant, size: int) -> None:
    """Charge a message to its subject's rates and deliveries, or refuse it with 429."""
    _refuse_until(wait_to_publish(node_of(connection), grant.principal, grant.item_id, size))


def _refuse_until(wait: float) -> None:
    if wait:
        headers = {"Retry-After": str(math.ceil(wait))}
        raise HTTPException(RATE_LIMITED.status, RATE_LIMITED.reason, headers)


async def answer_of(ask: Callable[[Answer[T]], None]) -> T:
    """Ask the engine and return its answer, or refuse the request as its error says."""
    answer = await asked(ask)
    if isinstance(answer, MessageRefused):
        raise CodedProblem(answer.reason, str(answer), status=HTTP_STATUSES[answer.reason])
    if isinstance(answer, EngineError):
        logger.error("engine_failed problem=%s", answer)
        refusal = answer.fault.refusal
        raise HTTPException(refusal.status, refusal.reason)
    return answer
