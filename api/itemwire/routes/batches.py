"""Publishes to many items by one request; each message is stored or refused on its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from msgspec import UNSET, UnsetType

from itemwire.authorization.deadline import decision_due
from itemwire.authorization.item_grants import Verdict, grants_of
from itemwire.authorization.late_bodies import check_still_valid, judged_after_body
from itemwire.channels.limits.item_rules import MessageRefused
from itemwire.channels.sessions.commands import Key
from itemwire.close_reasons import (
    CLOSE_REASONS,
    MESSAGE_TOO_BIG,
    OVERLOADED,
    PAYLOAD_INVALID,
    RATE_LIMITED,
    CloseReason,
)
from itemwire.dependencies import node_of, wait_to_publish
from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import asked
from itemwire.messages import (
    MAX_META,
    NOT_STORED,
    Extras,
    MessageMeta,
    Payload,
    Position,
    payload_size,
)
from itemwire.responses.problems import CodedProblem
from itemwire.responses.request_bodies import BODY_PROBLEMS, described, read_json, unreadable
from itemwire.routes import messages
from itemwire.routes.auth import keep_nowhere
from itemwire.rules.host import HostFunctions
from itemwire.tracing import with_trace
from itemwire.wire.payloads import payload_of
from itemwire_auth.dependencies import CurrentPrincipal
from itemwire_auth.errors import AuthError
from itemwire_auth.principal import Grant, Principal

logger = logging.getLogger("itemwire.channels")

MAX_MESSAGES: Final = 1000
MAX_BODY: Final = 16  # times `max_message_bytes`

router = APIRouter(
    tags=["messages"], dependencies=[Depends(keep_nowhere)], responses=messages.PROBLEMS
)


class MessageBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Messages to publish; each is parsed on its own."""

    messages: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_MESSAGES)]


class WantedMessage(msgspec.Struct, forbid_unknown_fields=True):
    """One message of a batch, as the client wrote it."""

    item: str
    data: msgspec.Raw
    key: Key | UnsetType = UNSET
    meta: MessageMeta | UnsetType = UNSET
    end: bool = False


class ReadyMessage(msgspec.Struct):
    """One message of a batch that is well formed; its sender's rights are not checked yet."""

    item: str
    data: Payload
    key: str | None
    extras: Extras

    @property
    def size(self) -> int:
        """Return the bytes that it is charged for."""
        return payload_size(self.data) + self.extras.size


class RefusedMessage(msgspec.Struct):
    """Why a message was not stored, and whether publishing it again may help."""

    code: str
    temporary: bool
    detail: str


class EphemeralMessage(msgspec.Struct):
    """Says that a message was delivered to the subscribers, and is stored nowhere."""

    ephemeral: Literal[True] = True


class BatchResults(msgspec.Struct):
    """The outcome of each message, in the order of the batch."""

    results: Sequence[Position | EphemeralMessage | RefusedMessage]


_read_batch: Final[Callable[[bytes], MessageBatch]] = msgspec.json.Decoder(MessageBatch).decode
_read_message: Final[Callable[[msgspec.Raw], WantedMessage]] = msgspec.json.Decoder(
    WantedMessage
).decode

MESSAGE: Final = {
    "type": "object",
    "required": ["item", "data"],
    "properties": {
        "item": {"type": "string"},
        "data": {},
        "key": {"type": "string", "minLength": 1, "maxLength": 128},
        "meta": {
            "type": "object",
            "maxProperties": MAX_META,
            "additionalProperties": {"type": "string"},
        },
        "end": {"type": "boolean"},
    },
}
SCHEMA: Final = {
    "type": "object",
    "required": ["messages"],
    "additionalProperties": False,
    "properties": {
        "messages": {
            "type": "array",
            "maxItems": MAX_MESSAGES,
            # Each is refused on its own, so one that does not fit is no fault of the request.
            "items": {"anyOf": [MESSAGE, {}]},
        }
    },
}


@router.post(
    "/messages",
    responses=BODY_PROBLEMS,
    openapi_extra=described("application/json", schema=SCHEMA),
)
async def publish_many(request: Request, principal: CurrentPrincipal) -> Response:
    """Publish to many items; a message that is refused does not hold up the others."""
    node = node_of(request)
    limit = node.limits.max_message_bytes
    async with judged_after_body(request, principal):
        body = await read_json(request, MAX_BODY * limit)
    parsed = [_parsed(raw, limit) for raw in _messages_of(body)]
    items = [message.item for message in parsed if isinstance(message, ReadyMessage)]
    verdicts = await grants_of(request, _item_route(), principal, items)
    check_still_valid(request, principal)  # working that out may have taken seconds
    return messages.as_json(BatchResults(await _publish(request, principal, parsed, verdicts)))


def _messages_of(body: bytes) -> list[msgspec.Raw]:
    try:
        body.decode()  # msgspec does not check the UTF-8 of what it leaves raw
        return _read_batch(body).messages
    except (ValueError, RecursionError) as error:
        raise unreadable() from error


def _parsed(raw: msgspec.Raw, limit: int) -> ReadyMessage | CloseReason:
    """Parse one message; if it is malformed, the others are still published."""
    try:
        wanted = _read_message(raw)
        data = payload_of(wanted.data)
        meta = None if wanted.meta is UNSET else wanted.meta
        extras = Extras.of(with_trace(meta), end=wanted.end)
    except (ValueError, RecursionError):
        return PAYLOAD_INVALID
    if len(bytes(wanted.data)) > limit:
        return MESSAGE_TOO_BIG
    return ReadyMessage(wanted.item, data, wanted.key or None, extras)


async def _publish(
    request: Request,
    principal: Principal,
    parsed: Sequence[ReadyMessage | CloseReason],
    verdicts: Mapping[str, Verdict],
) -> list[Position | EphemeralMessage | RefusedMessage]:
    """Publish in order, without waiting for the engine in between; then wait for all answers."""
    node, check = node_of(request), _check_of(request)
    begun: list[asyncio.Future[Position | EngineError] | CloseReason] = []
    for message in parsed:
        if isinstance(message, CloseReason):
            begun.append(message)
        elif isinstance(verdict := verdicts[message.item], CloseReason):
            begun.append(verdict)
        elif wait_to_publish(node, principal, message.item, message.size):
            begun.append(RATE_LIMITED)
        elif isinstance(data := await check(verdict, message.data), CloseReason):
            begun.append(data)
        else:
            ask = partial(node.publish, principal, message.item, data, message.key)
            begun.append(asked(partial(ask, extras=message.extras)))
    waiting = [one for one in begun if not isinstance(one, CloseReason)]
    if waiting:
        await asyncio.wait(waiting)
    return [_result(one) for one in begun]


def _check_of(request: Request) -> Callable[[Grant, Payload], Awaitable[Payload | CloseReason]]:
    """Return what checks each message; all of a batch together have the time of one decision."""
    functions = HostFunctions.of(request)
    until = decision_due()

    async def check(grant: Grant, data: Payload) -> Payload | CloseReason:
        if functions is None:
            return data
        try:
            async with asyncio.timeout_at(until):
                checked = await functions.checked(request, grant, data)
            check_still_valid(request, grant)
        except TimeoutError:
            return OVERLOADED
        except CodedProblem as error:
            return error.reason
        except AuthError as error:
            return CLOSE_REASONS[error.code]
        return checked

    return check


def _result(
    begun: "asyncio.Future[Position | EngineError] | CloseReason",
) -> Position | EphemeralMessage | RefusedMessage:
    if isinstance(begun, CloseReason):
        return _refused(begun)
    answer = begun.result()
    if isinstance(answer, MessageRefused):
        return _refused(answer.reason, str(answer))
    if answer is NOT_STORED:
        return EphemeralMessage()
    if isinstance(answer, EngineError):
        logger.error("engine_failed problem=%s", answer)
        return _refused(answer.fault.refusal, answer.fault.detail)
    return answer


def _refused(reason: CloseReason, detail: str = "") -> RefusedMessage:
    return RefusedMessage(reason.reason, reason.is_temporary, detail or reason.meaning)


def _item_route() -> APIRoute:
    """Return the route whose dependencies decide who may publish to one item."""
    routes = (route for route in messages.router.routes if isinstance(route, APIRoute))
    return next(route for route in routes if route.endpoint is messages.publish)
