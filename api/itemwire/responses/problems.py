"""Writes HTTP errors as Problem Details (RFC 9457), with the reason as `code`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from itemwire.close_reasons import CLOSE_REASONS, CloseReason
from itemwire_auth.closing import sendable_text

# Starlette has other names for these before and after 0.48.
CONTENT_TOO_LARGE: Final = 413
UNPROCESSABLE: Final = 422


class ProblemResponse(JSONResponse):
    """A JSON response with the media type of a problem."""

    media_type = "application/problem+json"


class CodedProblem(HTTPException):
    """A refusal that says its reason's code, and beside it the meaning or more than that."""

    def __init__(
        self, reason: CloseReason, detail: str | None = None, *, status: int | None = None
    ) -> None:
        super().__init__(status or reason.status, detail or reason.meaning)
        self.reason = reason


class RequestFault(BaseModel):
    """What is wrong with one part of a request."""

    type: str
    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """Why a request failed; `code`, for programs, is a close reason or the status in words."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | list[RequestFault]
    code: str


def problem(
    status: int,
    detail: Any,  # noqa: ANN401 - whatever an application raised
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """Make a response of a problem; no cache may store it."""
    title, name = _names(status)
    body = {
        "type": "about:blank",  # RFC 9457 section 4.2.1: it means what its status means
        "title": title,
        "status": status,
        "detail": sendable_text(detail) if isinstance(detail, str) else detail,
        "code": code or (detail if _is_reason(detail) else name),
    }
    return ProblemResponse(body, status, {"Cache-Control": "no-store", **(headers or {})})


def _is_reason(detail: object) -> bool:
    return isinstance(detail, str) and detail in CLOSE_REASONS


def _names(status: int) -> tuple[str, str]:
    """Return the title of a status, and the same as a code."""
    try:
        known = HTTPStatus(status)
    except ValueError:  # a status of the application's own
        return "Error", "error"
    return known.phrase, known.name.lower()
