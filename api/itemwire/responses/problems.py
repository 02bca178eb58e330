"""What an HTTP error looks like: Problem Details (RFC 9457), with the reason as its code."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from itemwire.close_reasons import CLOSE_REASONS


class ProblemResponse(JSONResponse):
    """A JSON answer that says of itself that it is a problem."""

    media_type = "application/problem+json"


class Problem(BaseModel):
    """Why something was not done; `code` is for programs: a reason, else the status in words."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str


def problem(
    status: int,
    detail: Any,  # noqa: ANN401 - whatever an application raised
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """Answer with a problem, which no cache keeps."""
    title, name = _names(status)
    body = {
        "type": "about:blank",  # RFC 9457 section 4.2.1: the status says it all, `code` the rest
        "title": title,
        "status": status,
        "detail": detail,
        "code": code or (detail if _is_reason(detail) else name),
    }
    return ProblemResponse(body, status, {"Cache-Control": "no-store", **(headers or {})})


def _is_reason(detail: object) -> bool:
    return isinstance(detail, str) and detail in CLOSE_REASONS


def _names(status: int) -> tuple[str, str]:
    """Give a status as people read it, and as a code."""
    try:
        known = HTTPStatus(status)
    except ValueError:  # an application's own
        return "Error", "error"
    return known.phrase, known.name.lower()
