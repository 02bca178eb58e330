"""Reads the body of a request: no more than it may take, and only what it says it is."""

import asyncio
from collections.abc import Callable
from email.message import Message
from typing import Final

import msgspec
from fastapi import HTTPException, Request, status
from starlette.requests import ClientDisconnect

from itemwire.close_reasons import MESSAGE_TIMEOUT, MESSAGE_TOO_BIG, PAYLOAD_INVALID
from itemwire.messages import Payload, payload_of

JSON_TYPE: Final = "application/json"
BINARY_TYPE: Final = "application/octet-stream"
BODY_SECONDS: Final = 60.0  # for a whole body to come, as for a message of a socket
UNICODE: Final = frozenset({"utf-8", "us-ascii"})

_read_raw: Final[Callable[[bytes], msgspec.Raw]] = msgspec.json.Decoder(msgspec.Raw).decode


async def read_payload(request: Request, limit: int) -> Payload:
    """Read what is to be published, as a socket would have sent it."""
    read = _reader_for(request)
    body = await read_body(request, limit)
    try:
        return read(body)
    except (ValueError, RecursionError) as error:
        raise unreadable() from error


async def read_json(request: Request, limit: int) -> bytes:
    """Read a body that says it is JSON."""
    if _media_type(request).get_content_type() != JSON_TYPE:
        raise _of_no_use()
    return await read_body(request, limit)


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body of so many bytes at most; what is longer is refused before it has all come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_up_to(request, limit)
    except TimeoutError as error:
        raise HTTPException(status.HTTP_408_REQUEST_TIMEOUT, MESSAGE_TIMEOUT.reason) from error
    except ClientDisconnect as error:
        raise unreadable() from error  # which nobody hears, but the log has no traceback


async def _read_up_to(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, MESSAGE_TOO_BIG.reason)
    return bytes(body)


def unreadable() -> HTTPException:
    """Make the refusal of a body that is not what it says it is; it repeats nothing of it."""
    return HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, PAYLOAD_INVALID.reason)


def _reader_for(request: Request) -> Callable[[bytes], Payload]:
    """Choose by the media type what a body becomes."""
    media_type = _media_type(request)
    if media_type.get_content_charset("utf-8") not in UNICODE:
        raise _of_no_use()
    if media_type.get_content_type() == JSON_TYPE:
        return _json_value
    if media_type.get_content_maintype() == "text":
        return bytes.decode
    if media_type.get_content_type() == BINARY_TYPE:
        return bytes
    raise _of_no_use()


def _media_type(request: Request) -> Message:
    """Read the Content-Type; without one, or with a second, it is one that nothing takes."""
    given = request.headers.getlist("content-type")
    message = Message()
    message["content-type"] = given[0] if len(given) == 1 and "/" in given[0] else "none/none"
    return message


def _json_value(body: bytes) -> Payload:
    body.decode()  # msgspec does not look at the UTF-8 of what it leaves as it is
    return payload_of(_read_raw(body))


def _of_no_use() -> HTTPException:
    return HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
