"""Answers over HTTP what clients ask the application by `request` on a socket."""

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from msgspec import UNSET

from itemwire.authorization.late_bodies import judged_after_body
from itemwire.channels.limits.requests import RequestKind
from itemwire.dependencies import SubscribeGrant, node_of, spend
from itemwire.messages import payload_size
from itemwire.responses.problems import CodedProblem, Problem
from itemwire.responses.request_bodies import BODY_PROBLEMS, described, read_payload
from itemwire.routes import messages
from itemwire.routes.auth import keep_nowhere
from itemwire.routes.items import ITEM_PATH
from itemwire.rules.host import NOT_SUPPORTED, HostFunctions

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    **messages.PROBLEMS,
    **BODY_PROBLEMS,
    404: {"model": Problem, "description": "The application answers no such request here."},
}

router = APIRouter(tags=["requests"], dependencies=[Depends(keep_nowhere)], responses=PROBLEMS)


class ReplyData(msgspec.Struct):
    """What the application has answered."""

    data: msgspec.Raw


@router.post(
    ITEM_PATH + "/requests/{name}",
    response_model=None,
    openapi_extra=described("application/json", schema={}, is_required=False),
)
async def ask_application(request: Request, grant: SubscribeGrant, name: str) -> Response:
    """Ask the application about an item; the body is the request's data, empty for none."""
    functions = HostFunctions.of(request)
    if functions is None:
        raise CodedProblem(NOT_SUPPORTED)
    is_empty = request.headers.get("content-length", "0") == "0" and not _is_chunked(request)
    async with judged_after_body(request, grant):
        limit = node_of(request).limits.max_message_bytes
        data = UNSET if is_empty else await read_payload(request, limit)
    size = 0 if data is UNSET else payload_size(data)
    spend(request, grant.principal, RequestKind.OTHER, size)
    return messages.as_json(ReplyData(await functions.reply(request, grant, name, data)))


def _is_chunked(request: Request) -> bool:
    return "transfer-encoding" in request.headers
