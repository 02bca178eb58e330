"""Publishes to an item in the name of the operator who asks for it."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from itemwire.authorization.late_bodies import judged_after_body
from itemwire.channels.limits.requests import RequestKind
from itemwire.dependencies import answer_of, node_of, spend
from itemwire.messages import NOT_STORED, Extras, payload_size
from itemwire.responses.problems import Problem
from itemwire.responses.request_bodies import BODY_PROBLEMS, described, read_payload
from itemwire.routes.admin.items import ITEM, NamedItem
from itemwire.routes.messages import (
    DeliveredMessage,
    IdempotencyKey,
    StoredMessage,
    extras_of,
)
from itemwire_auth.audit import log_administered
from itemwire_auth.dependencies import Administrator

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _MessageHeaders:
    """What the headers say of a message."""

    extras: Extras
    key: str | None


async def _headers_of(
    extras: Annotated[Extras, Depends(extras_of)], idempotency_key: IdempotencyKey = None
) -> _MessageHeaders:
    return _MessageHeaders(extras, idempotency_key)


@router.post(
    ITEM + "/messages",
    status_code=status.HTTP_201_CREATED,
    responses={
        **BODY_PROBLEMS,
        202: {"model": DeliveredMessage, "description": "Not stored."},
        503: {"model": Problem, "description": "Not now: ask again after `Retry-After`."},
    },
    openapi_extra=described(
        "application/json", "text/plain", "application/octet-stream", schema={}
    ),
)
async def publish_as_operator(
    request: Request,
    response: Response,
    admin: Administrator,
    item: NamedItem,
    headers: Annotated[_MessageHeaders, Depends(_headers_of)],
) -> StoredMessage | DeliveredMessage:
    """Publish a message to any item; its sender is the operator.

    The rules of the item hold. The application is not asked whether this operator may publish.
    """
    node = node_of(request)
    async with judged_after_body(request, admin):
        data = await read_payload(request, node.limits.max_message_bytes)
    size = payload_size(data) + headers.extras.size
    spend(request, admin, RequestKind.PUBLISH, size)
    log_administered(request, admin, "publish", {"item": item, "bytes": size})
    ask = partial(node.publish, admin, item, data, headers.key)
    position = await answer_of(partial(ask, extras=headers.extras))
    if position is NOT_STORED:
        response.status_code = status.HTTP_202_ACCEPTED
        return DeliveredMessage()
    return StoredMessage(epoch=position.epoch, offset=position.offset)
