"""Publishing to many items by one request, each message stored or refused on its own."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from msgspec import UNSET, UnsetType

from itemwire.authorization.item_grants import Verdict, grants_of
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.node import Node
from itemwire.channels.sessions.commands import Key
from itemwire.close_reasons import (
    MESSAGE_TOO_BIG,
    OVERLOADED,
    PAYLOAD_INVALID,
    RATE_LIMITED,
    CloseReason,
    Retry,
)
from itemwire.dependencies import ENGINE_SECONDS, asked, node_of, wait_of
from itemwire.engines.base import EngineError
from itemwire.messages import Payload, Position, payload_of, payload_size
from itemwire.responses.request_bodies import read_json, unreadable
from itemwire.routes import messages
from itemwire.routes.auth import keep_nowhere
from itemwire_auth.dependencies import CurrentPrincipal
from itemwire_auth.principal import Principal

logger = logging.getLogger("itemwire.channels")

MAX_MESSAGES: Final = 1000
MAX_BODY: Final = 16  # times `max_message_bytes`

router = APIRouter(
    tags=["messages"], dependencies=[Depends(keep_nowhere)], responses=messages.PROBLEMS
)


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """Messages to publish, each of which is read on its own."""

    messages: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_MESSAGES)]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """One message of a batch, as it is written."""

    item: str
    data: msgspec.Raw
    key: Key | UnsetType = UNSET


class Ready(msgspec.Struct):
    """One message of a batch that can be published, if its sender may."""

    item: str
    data: Payload
    key: str | None


class Refused(msgspec.Struct):
    """Why a message is not stored, and whether asking again may help."""

    code: str
    temporary: bool
    detail: str


class Results(msgspec.Struct):
    """What became of each message, in the order of the batch."""

    results: Sequence[Position | Refused]


_read_batch: Final[Callable[[bytes], Batch]] = msgspec.json.Decoder(Batch).decode
_read_wanted: Final[Callable[[msgspec.Raw], Wanted]] = msgspec.json.Decoder(Wanted).decode

SCHEMA: Final = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "messages": {
            "type": "array",
            "maxItems": MAX_MESSAGES,
            "items": {
                "type": "object",
                "required": ["item", "data"],
                "properties": {
                    "item": {"type": "string"},
                    "data": {},
                    "key": {"type": "string", "minLength": 1, "maxLength": 128},
                },
            },
        }
    },
}


@router.post(
    "/messages",
    responses=messages.BODY_PROBLEMS,
    openapi_extra=messages.body_of("application/json", schema=SCHEMA),
)
async def publish_many(request: Request, principal: CurrentPrincipal) -> Response:
    """Publish to many items; what is refused holds up nothing else."""
    node = node_of(request)
    limit = node.limits.max_message_bytes
    body = await read_json(request, MAX_BODY * limit)
    read = [_ready(one, limit) for one in _batch(body)]
    items = [one.item for one in read if isinstance(one, Ready)]
    verdicts = await grants_of(request, _item_route(), principal, items)
    return messages.as_json(Results(await _publish(node, principal, read, verdicts)))


async def _publish(
    node: Node,
    principal: Principal,
    read: Sequence[Ready | CloseReason],
    verdicts: Mapping[str, Verdict],
) -> list[Position | Refused]:
    """Publish in order without waiting in between, then wait for all answers."""
    begun: list[asyncio.Future[Position | EngineError] | CloseReason] = []
    for one in read:
        if isinstance(one, CloseReason):
            begun.append(one)
        elif isinstance(verdict := verdicts[one.item], CloseReason):
            begun.append(verdict)
        elif wait_of(node, principal, RequestKind.PUBLISH, payload_size(one.data)):
            begun.append(RATE_LIMITED)
        else:
            ask = partial(node.publish, principal, one.item, one.data, one.key)
            begun.append(asked(ask))
    waiting = [one for one in begun if not isinstance(one, CloseReason)]
    if waiting:
        await asyncio.wait(waiting, timeout=ENGINE_SECONDS)
    return [_result(one) for one in begun]


def _result(begun: "asyncio.Future[Position | EngineError] | CloseReason") -> Position | Refused:
    if isinstance(begun, CloseReason):
        return _refused(begun)
    answer = begun.result() if begun.done() else EngineError("no answer in time")
    if isinstance(answer, EngineError):
        logger.error("engine_failed problem=%s", answer)
        return _refused(OVERLOADED)
    return answer


def _refused(reason: CloseReason) -> Refused:
    temporary = reason.retry in {Retry.LATER, Retry.NOW}
    return Refused(reason.reason, temporary, reason.meaning)


def _batch(body: bytes) -> list[msgspec.Raw]:
    try:
        body.decode()
        return _read_batch(body).messages
    except (ValueError, RecursionError) as error:
        raise unreadable() from error


def _ready(raw: msgspec.Raw, limit: int) -> Ready | CloseReason:
    """Read one message; a fault of it is no fault of the others."""
    try:
        wanted = _read_wanted(raw)
        data = payload_of(wanted.data)
    except (ValueError, RecursionError):
        return PAYLOAD_INVALID
    if len(bytes(wanted.data)) > limit:
        return MESSAGE_TOO_BIG
    return Ready(wanted.item, data, wanted.key or None)


def _item_route() -> APIRoute:
    """Find the route whose dependencies say who may publish to one item."""
    routes = (one for one in messages.router.routes if isinstance(one, APIRoute))
    return next(one for one in routes if one.endpoint is messages.publish)
