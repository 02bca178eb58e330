"""How an exception becomes a refusal: one table from exceptions to close reasons."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import WebSocketRequestValidationError
from starlette.exceptions import WebSocketException

from itemwire.responses.rejections import install_rejections, reason_of
from itemwire_auth.closing import MAX_REASON_BYTES
from itemwire_auth.errors import Forbidden, RateLimited


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        pytest.param(WebSocketException(1008, "forbidden"), 1008, "forbidden", id="registered"),
        pytest.param(WebSocketException(3001, "own"), 3001, "own", id="an application's own"),
        pytest.param(WebSocketException(1008), 1008, "", id="no reason"),
        pytest.param(WebSocketException(3001, "forbidden"), 3001, "forbidden", id="own code"),
        pytest.param(WebSocketException(1005, "x"), 1011, "internal", id="never sent"),
        pytest.param(WebSocketException(99999, "x"), 1011, "internal", id="no code"),
        pytest.param(HTTPException(401), 1008, "credentials_invalid", id="401"),
        pytest.param(HTTPException(403), 1008, "forbidden", id="403"),
        pytest.param(HTTPException(404), 1008, "forbidden", id="404"),
        pytest.param(HTTPException(418), 1008, "forbidden", id="another 4xx"),
        pytest.param(HTTPException(429), 1008, "rate_limited", id="429"),
        pytest.param(HTTPException(500), 1011, "internal", id="500"),
        pytest.param(HTTPException(503), 1013, "overloaded", id="503"),
        pytest.param(
            WebSocketRequestValidationError([{"loc": ("path", "item_id")}]),
            1008,
            "item_invalid",
            id="path",
        ),
        pytest.param(
            WebSocketRequestValidationError([{"loc": ("query", "replay")}]),
            1008,
            "query_invalid",
            id="query",
        ),
        pytest.param(ZeroDivisionError(), 1011, "internal", id="anything else"),
    ],
)
def test_every_exception_has_a_code_and_a_reason(error: Exception, code: int, reason: str) -> None:
    """Never a bare 1006, whatever an application raises."""
    row = reason_of(error)

    assert (row.code, row.reason) == (code, reason)


def test_a_long_reason_is_cut_between_characters() -> None:
    """A close frame holds 123 bytes of it (RFC 6455 section 5.5)."""
    reason = reason_of(WebSocketException(3001, "ä" * 100)).reason

    assert reason == "ä" * 61
    assert len(reason.encode()) <= MAX_REASON_BYTES


@pytest.mark.parametrize(
    ("error", "status", "detail", "retry_after"),
    [
        pytest.param(
            WebSocketException(1008, "forbidden"), 403, "forbidden", None, id="for sockets"
        ),
        pytest.param(HTTPException(404, "no such order"), 404, "no such order", None, id="http"),
        pytest.param(Forbidden("not yours"), 403, "forbidden", None, id="of auth"),
        pytest.param(RateLimited("again"), 429, "rate_limited", "1", id="too often"),
        pytest.param(HTTPException(503, "later"), 503, "later", "1", id="not now"),
        pytest.param(
            HTTPException(503, "later", {"Retry-After": "60"}), 503, "later", "60", id="its own"
        ),
    ],
)
def test_one_rule_refuses_on_http_routes_too(
    error: Exception, status: int, detail: str, retry_after: str | None
) -> None:
    """An override of `authorize_item` serves both kinds of route, whatever it raises."""
    app = FastAPI()
    install_rejections(app)

    @app.get("/refused")
    async def refused() -> None:
        raise error

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/refused")

    answer = asyncio.run(ask())

    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers.get("retry-after") == retry_after
