"""Serves backends over HTTP: publish to items, read their history, list their members."""

from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response, Security, status
from pydantic import BaseModel

from itemwire.authorization.late_bodies import check_still_valid, judged_after_body
from itemwire.channels.join import FIRST_PAGE
from itemwire.channels.limits.requests import RequestKind
from itemwire.dependencies import answer_of, node_of, spend, spend_publish
from itemwire.engines.base import Span
from itemwire.messages import (
    MAX_META,
    META_BYTES,
    NOT_STORED,
    Extras,
    Member,
    MessageMeta,
    Publication,
    payload_size,
)
from itemwire.responses.problems import Problem
from itemwire.responses.request_bodies import BODY_PROBLEMS, described, read_payload, unreadable
from itemwire.routes.auth import keep_nowhere
from itemwire.routes.items import ITEM_PATH
from itemwire.rules.host import HostFunctions
from itemwire.tracing import with_trace
from itemwire_auth.dependencies import permitted
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action

PublishGrant = Annotated[Grant, Security(permitted, scopes=[Action.PUBLISH])]
HistoryGrant = Annotated[Grant, Security(permitted, scopes=[Action.HISTORY])]
PresenceGrant = Annotated[Grant, Security(permitted, scopes=[Action.PRESENCE])]

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=128, description="The same key stores the same message once."),
]
MetaHeader = Annotated[
    str | None,
    Header(
        alias="Itemwire-Meta",
        description="What goes with the message: a JSON object of texts, written in ASCII, of at "
        f"most {MAX_META} entries and {META_BYTES} bytes.",
    ),
]
EndHeader = Annotated[
    bool, Header(alias="Itemwire-End", description="Marks the last message of a stream.")
]
Offset = Annotated[int | None, Query(ge=0, lt=2**53, description="An offset; not included.")]

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Problem, "description": "No credential, or none that is accepted."},
    403: {"model": Problem, "description": "Not with this item."},
    503: {"model": Problem, "description": "Not now: ask again after `Retry-After`."},
}

_read_meta: Final = msgspec.json.Decoder(MessageMeta).decode

router = APIRouter(tags=["messages"], dependencies=[Depends(keep_nowhere)], responses=PROBLEMS)


class StoredMessage(BaseModel):
    """The position of a message that was stored: its stream's epoch and its offset there."""

    epoch: str
    offset: int


class DeliveredMessage(BaseModel):
    """A message that was delivered to the subscribers, and is stored nowhere."""

    ephemeral: Literal[True] = True


class HistoryPage(msgspec.Struct):
    """Messages, oldest first, and the position of the stream when they were read."""

    epoch: str
    offset: int
    messages: list[Publication]
    complete: bool


class Present(msgspec.Struct, omit_defaults=True):
    """A page of an item's members, and how many there are; `next` is the next `after`.

    It is `partial` if a node has not said in time which members it has.
    """

    members: list[Member]
    count: int
    next: str | None = None
    partial: bool = False


PRESENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A page of the members on all nodes.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["members", "count"],
                    "properties": {
                        "members": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["connection", "subject"],
                                "properties": {
                                    "connection": {"type": "string"},
                                    "subject": {"type": "string"},
                                    "info": {"type": "object"},
                                },
                            },
                        },
                        "count": {
                            "type": "integer",
                            "description": "All members, those of other pages included.",
                        },
                        "next": {
                            "type": "string",
                            "description": "The `after` of the next page; absent on the last one.",
                        },
                        "partial": {
                            "type": "boolean",
                            "description": "True, or absent: a node did not answer in time, so "
                            "members may be missing, and some that left may be listed.",
                        },
                    },
                }
            }
        },
    }
}


async def extras_of(meta: MetaHeader = None, end: EndHeader = False) -> Extras:
    """Return what the headers say, or refuse them; a server reads other bytes as Latin-1."""
    try:
        given = None if meta is None else _read_meta(meta.encode("ascii"))
        return Extras.of(with_trace(given), end=end)
    except (ValueError, msgspec.MsgspecError) as error:
        raise unreadable() from error


@router.post(
    ITEM_PATH + "/messages",
    status_code=status.HTTP_201_CREATED,
    responses={**BODY_PROBLEMS, 202: {"model": DeliveredMessage, "description": "Not stored."}},
    openapi_extra=described(
        "application/json", "text/plain", "application/octet-stream", schema={}
    ),
)
async def publish(
    request: Request,
    response: Response,
    grant: PublishGrant,
    extras: Annotated[Extras, Depends(extras_of)],
    idempotency_key: IdempotencyKey = None,
) -> StoredMessage | DeliveredMessage:
    """Publish a message, any JSON value, text or bytes; the answer comes once it is stored."""
    node = node_of(request)
    async with judged_after_body(request, grant):
        data = await read_payload(request, node.limits.max_message_bytes)
    spend_publish(request, grant, payload_size(data) + extras.size)
    functions = HostFunctions.of(request)
    if functions is not None:
        data = await functions.checked(request, grant, data)
        check_still_valid(request, grant)  # the check may have taken seconds
    ask = partial(node.publish, grant.principal, grant.item_id, data, idempotency_key)
    position = await answer_of(partial(ask, extras=extras))
    if position is NOT_STORED:
        response.status_code = status.HTTP_202_ACCEPTED
        return DeliveredMessage()
    return StoredMessage(epoch=position.epoch, offset=position.offset)


@router.get(ITEM_PATH + "/messages", response_model=None)
async def read_history(
    request: Request,
    grant: HistoryGrant,
    after: Offset = None,
    before: Offset = None,
    limit: Annotated[int, Query(ge=1, lt=2**53)] = 100,
) -> Response:
    """Read the newest `limit` messages, or the oldest ones after `after`."""
    spend(request, grant.principal, RequestKind.HISTORY, 0)
    span = Span(limit, after, before)
    history = await answer_of(partial(node_of(request).history, grant.item_id, span))
    epoch, offset = history.position.epoch, history.position.offset
    return as_json(HistoryPage(epoch, offset, history.publications, history.complete))


@router.get(ITEM_PATH + "/members", response_model=None, responses=PRESENT)
async def list_members(
    request: Request,
    grant: PresenceGrant,
    limit: Annotated[int, Query(ge=0, lt=2**53)] = FIRST_PAGE,
    after: str = "",
) -> Response:
    """List the members of the item, by connection id; with `limit=0` only their number."""
    spend(request, grant.principal, RequestKind.OTHER, 0)
    ask = node_of(request).members
    page = await answer_of(partial(ask, grant.item_id, limit=limit, after=after))
    return as_json(Present(page.members, page.count, page.next, page.is_partial))


def as_json(answer: msgspec.Struct) -> Response:
    """Encode an answer as codecs do: payloads are raw JSON, which FastAPI cannot encode."""
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(answer), media_type="application/json", headers=headers)
