"""Turns exceptions into refusals: one table from exception to close reason.

Whatever a route raises becomes one ASGI `websocket.close` with a code and a reason;
`middleware/refusals.py` then puts a close that comes before the handshake into its final form.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, cast

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from starlette.exceptions import HTTPException, WebSocketException
from starlette.types import Scope
from starlette.websockets import WebSocket

from itemwire.close_reasons import (
    CLOSE_REASONS,
    CREDENTIALS_INVALID,
    FORBIDDEN,
    INTERNAL,
    ITEM_INVALID,
    OVERLOADED,
    PAYLOAD_INVALID,
    QUERY_INVALID,
    RATE_LIMITED,
    CloseReason,
    Retry,
)
from itemwire.responses.methods import PathMethods
from itemwire.responses.problems import UNPROCESSABLE, CodedProblem, problem
from itemwire_auth.audit import client_label
from itemwire_auth.closing import SENDABLE_CODES, close_of_status, sendable, sendable_text
from itemwire_auth.errors import AuthError, ChannelException
from itemwire_auth.refusals import refusal

logger = logging.getLogger("itemwire.refusals")

FAULT_MEMBERS: Final = ("type", "loc", "msg")  # of a validation error

# RFC 9110 section 10.2.3: a temporary refusal says when to try again.
PASSING_STATUSES: Final = frozenset({RATE_LIMITED.status, OVERLOADED.status})
RETRY_AFTER: Final = "1"  # second

RETRY: Final = "itemwire.retry"
"""What a `websocket.close` message says beside ASGI's own: the verdict of an own reason."""

MAX_DETAIL: Final = 200  # characters, in the log

STATUS_OF_RETRY: Final[dict[Retry, int]] = {
    Retry.NEVER: FORBIDDEN.status,
    Retry.TOKEN: CREDENTIALS_INVALID.status,
    Retry.LATER: OVERLOADED.status,
    Retry.NOW: OVERLOADED.status,
}
"""The HTTP status of what an application refuses for a reason of its own."""


def install_rejections(app: FastAPI) -> None:
    """Install the exception handlers: what a route raises reaches its client as a reason."""
    for error in (
        AuthError,
        ChannelException,
        WebSocketException,
        WebSocketRequestValidationError,
    ):
        app.add_exception_handler(error, _reject)  # type: ignore[arg-type] # one for both kinds
    app.add_exception_handler(HTTPException, _reject_by_path(app))  # type: ignore[arg-type] # one for both kinds
    app.add_exception_handler(RequestValidationError, _tell_faults)  # type: ignore[arg-type] # its own
    app.add_exception_handler(Exception, _tell_failure)


def reason_of(error: Exception) -> CloseReason:
    """Return the close reason of an exception; an unknown exception is `internal`."""
    if isinstance(error, WebSocketException):
        return reason_of_close(error.code, error.reason)
    if isinstance(error, ChannelException):
        retry = Retry(error.retry)
        status = STATUS_OF_RETRY[retry]
        detail = sendable_text(error.detail)
        return CloseReason(error.code, FORBIDDEN.code, retry, status, detail)
    if isinstance(error, CodedProblem):
        return error.reason
    if isinstance(error, WebSocketRequestValidationError | RequestValidationError):
        in_path = any(fault["loc"][0] == "path" for fault in error.errors())
        return ITEM_INVALID if in_path else QUERY_INVALID
    if isinstance(error, HTTPException):
        return CLOSE_REASONS[close_of_status(error.status_code).reason]
    return INTERNAL


def detail_of(error: Exception) -> str:
    """Return why a request was refused, for the log: what the application said, or a fault."""
    if isinstance(error, HTTPException | ChannelException):
        return str(error.detail)[:MAX_DETAIL]
    if isinstance(error, WebSocketRequestValidationError | RequestValidationError):
        # Where what kind of fault is: a message of the application's could hold the value.
        faults = (f"{'.'.join(map(str, it['loc']))}: {it['type']}" for it in error.errors())
        return "; ".join(faults)[:MAX_DETAIL]
    return ""


def reason_of_close(code: int, reason: str, retry: Retry = Retry.NEVER) -> CloseReason:
    """Return the reason of a raw close; one not in the registry is the application's own.

    `retry` is the verdict of an own reason.
    """
    row = CLOSE_REASONS.get(reason)
    if row is not None and row.code == code:
        return row
    if code not in SENDABLE_CODES:
        return INTERNAL
    told = sendable(code, reason)
    return CloseReason(told.reason, code, retry, STATUS_OF_RETRY[retry], "Said by the application.")


def _reject_by_path(app: FastAPI) -> Callable[..., Awaitable[Response | None]]:
    """Return what answers an HTTPException: the router raises it for a method or a path, too."""
    methods = PathMethods(app.router.routes)

    async def reject(connection: Request | WebSocket, error: Exception) -> Response | None:
        if isinstance(connection, Request) and isinstance(error, HTTPException):
            answer = methods.answer(connection, error)
            if answer is not None:
                return answer
        return await _reject(connection, error)

    return reject


async def _reject(connection: Request | WebSocket, error: Exception) -> Response | None:
    """Answer an exception: on a WebSocket with a close, over HTTP with a problem."""
    if isinstance(error, AuthError):
        error = refusal(connection, error)
    elif isinstance(connection, WebSocket) and not isinstance(error.__cause__, AuthError):
        reason = reason_of(error).reason
        client = client_label(connection.scope)
        path = _path(connection.scope)
        line = "refused reason=%r path=%r client=%s detail=%r"
        logger.warning(line, reason, path, client, detail_of(error))
    if isinstance(connection, WebSocket):
        row = reason_of(error)
        close = {"type": "websocket.close", "code": row.code, "reason": row.reason}
        await connection.send({**close, RETRY: row.retry})
        return None
    if isinstance(error, WebSocketException):
        row = reason_of(error)
        error = HTTPException(row.status, row.reason)
    if isinstance(error, ChannelException):
        error = CodedProblem(reason_of(error))
    if isinstance(error, HTTPException) and error.status_code in PASSING_STATUSES:
        error.headers = {"Retry-After": RETRY_AFTER, **(error.headers or {})}
    told = cast("HTTPException", error)
    if not is_body_allowed_for_status_code(told.status_code):
        return await http_exception_handler(connection, told)
    code = told.reason.reason if isinstance(told, CodedProblem) else None
    return problem(told.status_code, told.detail, code=code, headers=told.headers)


async def _tell_faults(_request: Request, error: RequestValidationError) -> Response:
    """Describe what is wrong with a request as FastAPI does, without repeating its content.

    That may be a secret; or it may be NaN or half a surrogate pair, which JSON cannot hold.
    """
    faults = [{it: fault[it] for it in FAULT_MEMBERS if it in fault} for fault in error.errors()]
    in_query = all(fault["loc"][:1] == ("query",) for fault in error.errors())
    code = QUERY_INVALID if in_query else PAYLOAD_INVALID
    return problem(UNPROCESSABLE, faults, code=code.reason)


async def _tell_failure(_request: Request, _error: Exception) -> Response:
    """Answer for a route that crashed; the exception goes to the server, which logs it.

    This answer passes no middleware, so it protects a credential in the query itself.
    """
    private = {"Referrer-Policy": "no-referrer"}
    return problem(INTERNAL.status, INTERNAL.reason, headers=private)


def _path(scope: Scope) -> str:
    return str(scope["path"])[:200]
