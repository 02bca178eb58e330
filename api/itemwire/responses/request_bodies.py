"""Reads the body of a request, within limits of size and time, by its content type.

Every route that takes a body reads it here, once it knows the caller. FastAPI would read a body
parameter before any dependency is asked: for a stranger, too, of any size, and for ever.
"""

import asyncio
from collections.abc import Callable
from email.message import Message
from typing import Any, Final, TypeVar

import msgspec
from fastapi import HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from itemwire.close_reasons import MESSAGE_TIMEOUT, MESSAGE_TOO_BIG, PAYLOAD_INVALID
from itemwire.messages import Payload
from itemwire.responses.problems import CONTENT_TOO_LARGE, UNPROCESSABLE, Problem
from itemwire.wire.payloads import payload_of

JSON_TYPE: Final = "application/json"
BINARY_TYPE: Final = "application/octet-stream"
BODY_SECONDS: Final = 60.0  # for a whole body to arrive, as for a message on a socket
MAX_MODEL_BYTES: Final = 16_384
UNICODE: Final = frozenset({"utf-8", "us-ascii"})
UNCODED: Final = frozenset({"", "identity"})  # content codings that change nothing
CODED: Final = "The body has a content coding. Send it without `Content-Encoding`, as it is."

COMPONENT: Final = "#/components/schemas/{model}"  # where OpenAPI has a schema of its own

BODY_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    408: {"model": Problem, "description": "A body that was not complete in 60 s."},
    413: {"model": Problem, "description": "A body over the limit."},
    415: {"model": Problem, "description": "A body of another media type, or with a coding."},
    422: {"model": Problem, "description": "A body that is not what it says it is."},
}
"""How OpenAPI describes the refusals of a body."""

M = TypeVar("M", bound=BaseModel)

_read_raw: Final[Callable[[bytes], msgspec.Raw]] = msgspec.json.Decoder(msgspec.Raw).decode


async def read_payload(request: Request, limit: int) -> Payload:
    """Read a message to publish, as a socket would have sent it."""
    read = _reader_for(request)
    body = await read_body(request, limit)
    try:
        return read(body)
    except (ValueError, RecursionError) as error:
        raise unreadable() from error


async def read_json(request: Request, limit: int) -> bytes:
    """Read a body that says it is JSON; it is not parsed yet."""
    if _media_type(request).get_content_type() != JSON_TYPE:
        raise _unsupported()
    return await read_body(request, limit)


async def read_model(
    request: Request,
    kind: type[M],
    *,
    limit: int = MAX_MODEL_BYTES,
    empty: bytes = b"",
    must_say_json: bool = False,
) -> M:
    """Read a JSON body into a model; an empty body stands for `empty`.

    `must_say_json` refuses a body of another media type: a page of any site may send text or a
    form, cookies and all, without asking the server first. Without it the type is not looked at.
    A refusal repeats nothing of what was sent.
    """
    body = await read_body(request, limit)
    if body and must_say_json and not _says_json(request):
        raise unreadable()
    try:
        return kind.model_validate_json(body or empty)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(faults) from error


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes.

    Refuse with 413 as soon as more has come, with 408 what has not come in `BODY_SECONDS`, and
    with 415 what is compressed: it would be stored as it came.
    """
    _refuse_coded(request)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_up_to(request, limit)
    except TimeoutError as error:
        raise HTTPException(status.HTTP_408_REQUEST_TIMEOUT, MESSAGE_TIMEOUT.reason) from error
    except ClientDisconnect as error:
        raise unreadable() from error  # nobody gets this answer, but the log has no traceback


def _refuse_coded(request: Request) -> None:
    """Refuse content codings, and say that none is taken (RFC 9110 section 12.5.3)."""
    codings = ",".join(request.headers.getlist("content-encoding")).split(",")
    if not UNCODED.issuperset(coding.strip().lower() for coding in codings):
        headers = {"Accept-Encoding": "identity"}
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, CODED, headers)


async def _read_up_to(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(CONTENT_TOO_LARGE, MESSAGE_TOO_BIG.reason)
    return bytes(body)


def unreadable() -> HTTPException:
    """Make the refusal of a body that is not what it says it is; it repeats nothing of it."""
    return HTTPException(UNPROCESSABLE, PAYLOAD_INVALID.reason)


def described(
    *media_types: str, schema: dict[str, Any], is_required: bool = True
) -> dict[str, Any]:
    """Describe a body for OpenAPI, as FastAPI does for a body that it reads itself."""
    body: dict[str, Any] = {"content": {each: {"schema": schema} for each in media_types}}
    if is_required:
        body["required"] = True
    return {"requestBody": body}


def described_model(kind: type[BaseModel], *, is_required: bool = True) -> dict[str, Any]:
    """Describe the body that `read_model` reads."""
    return described(
        JSON_TYPE, schema=kind.model_json_schema(ref_template=COMPONENT), is_required=is_required
    )


def _reader_for(request: Request) -> Callable[[bytes], Payload]:
    """Choose the parser of a body by its media type."""
    media_type = _media_type(request)
    if media_type.get_content_charset("utf-8") not in UNICODE:
        raise _unsupported()
    if media_type.get_content_type() == JSON_TYPE:
        return _json_value
    if media_type.get_content_maintype() == "text":
        return bytes.decode
    if media_type.get_content_type() == BINARY_TYPE:
        return bytes
    raise _unsupported()


def _says_json(request: Request) -> bool:
    media_type = _media_type(request)
    subtype = media_type.get_content_subtype()
    return media_type.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )


def _media_type(request: Request) -> Message:
    """Parse Content-Type; if it is missing or there are several, the result matches no type."""
    given = request.headers.getlist("content-type")
    message = Message()
    message["content-type"] = given[0] if len(given) == 1 and "/" in given[0] else "none/none"
    return message


def _json_value(body: bytes) -> Payload:
    body.decode()  # msgspec does not check the UTF-8 of what it leaves raw
    return payload_of(_read_raw(body))


def _unsupported() -> HTTPException:
    return HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
