"""What becomes of an exception: one table, and two forms on the wire."""

import asyncio
from typing import Any, Literal

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import WebSocketRequestValidationError
from starlette.exceptions import WebSocketException
from starlette.types import Message, Receive, Scope, Send

from itemwire.counters import HandshakeCounters
from itemwire.responses.rejections import MAX_REASON_BYTES, Refusals, install_rejections, reason_of
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
    install_rejections(app, "close")

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


def sent_by(
    *messages: Message | Exception,
    refusal: Literal["close", "http"] = "close",
    kind: str = "websocket",
    extensions: dict[str, Any] | None = None,
    counters: HandshakeCounters | None = None,
) -> list[Message]:
    """Let an application send these, or raise the last, behind the middleware."""
    sent: list[Message] = []

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(message)

    async def receive() -> Message:
        raise AssertionError("a refused socket has nothing read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": kind, "path": "/x", "subprotocols": ["itemwire.v1.json"]}
    app = Refusals(application, refusal, counters)
    asyncio.run(app(scope | {"extensions": extensions or {}}, receive, send))
    return sent


CLOSE: Message = {"type": "websocket.close", "code": 1008, "reason": "forbidden"}
NO_ROUTE: Message = {"type": "websocket.close", "code": 1000, "reason": ""}
ACCEPT: Message = {"type": "websocket.accept"}


def test_a_refusal_is_accepted_and_closed_with_the_codec_answered() -> None:
    """Browsers give up a handshake that answers none of the subprotocols they offered."""
    accept, close = sent_by(CLOSE)

    assert (accept["type"], accept["subprotocol"]) == ("websocket.accept", "itemwire.v1.json")
    assert close == CLOSE


def test_a_refusal_over_http_has_a_status_and_a_body() -> None:
    """For clients that are no browsers."""
    start, body = sent_by(CLOSE, refusal="http", extensions={"websocket.http.response": {}})

    assert start["status"] == 403
    assert body["body"] == b'{"code":1008,"reason":"forbidden","retry":"never"}'


@pytest.mark.parametrize(
    ("code", "reason", "retry_after"),
    [(1008, "rate_limited", b"1"), (1013, "overloaded", b"1"), (1008, "forbidden", None)],
)
def test_a_refusal_that_may_pass_says_when_to_come_again(
    code: int, reason: str, retry_after: bytes | None
) -> None:
    """A client that knows HTTP and not us waits, too (RFC 9110 section 10.2.3)."""
    close: Message = {"type": "websocket.close", "code": code, "reason": reason}
    start, _ = sent_by(close, refusal="http", extensions={"websocket.http.response": {}})

    assert dict(start["headers"]).get(b"retry-after") == retry_after


def test_a_server_that_cannot_deny_with_a_body_denies_all_the_same() -> None:
    """It makes a bare 403 of a close before the handshake (daphne, gunicorn's own worker)."""
    assert sent_by(CLOSE, refusal="http") == [CLOSE]


@pytest.mark.parametrize("refusal", ["close", "http"])
def test_an_unknown_route_stays_a_plain_403(refusal: Literal["close", "http"]) -> None:
    """What the router says of a path that no route has."""
    assert sent_by(NO_ROUTE, refusal=refusal) == [NO_ROUTE]


@pytest.mark.parametrize(
    ("before", "told"),
    [
        pytest.param([], [1011], id="before the handshake"),
        pytest.param([ACCEPT], [1011], id="after it"),
        pytest.param([ACCEPT, CLOSE], [1008], id="after the close"),
    ],
)
def test_an_unexpected_exception_is_told_once(before: list[Message], told: list[int]) -> None:
    """As 1011, unless the client has been told something else already."""
    sent = sent_by(*before, ZeroDivisionError())

    assert [message["code"] for message in sent if message["type"] == "websocket.close"] == told


def test_other_protocols_pass_untouched() -> None:
    """HTTP has a mapping of its own."""
    message: Message = {"type": "http.response.start", "status": 200}

    assert sent_by(message, kind="http") == [message]


@pytest.mark.parametrize(
    ("messages", "accepted", "refused"),
    [
        pytest.param([ACCEPT], 1, {}, id="accepted"),
        pytest.param([ACCEPT, CLOSE], 1, {}, id="closed later"),
        pytest.param([CLOSE], 0, {"forbidden": 1}, id="refused"),
        pytest.param([{**CLOSE, "reason": "alice is banned"}], 0, {"other": 1}, id="own words"),
        pytest.param([NO_ROUTE], 0, {"other": 1}, id="no such route"),
        pytest.param([ZeroDivisionError()], 0, {"internal": 1}, id="failed"),
    ],
)
@pytest.mark.parametrize("refusal", ["close", "http"])
def test_counts_each_handshake_once_by_how_it_was_answered(
    messages: list[Message | Exception],
    accepted: int,
    refused: dict[str, int],
    refusal: Literal["close", "http"],
) -> None:
    """In either form, with what comes later of no account; by reasons of the registry alone."""
    counters = HandshakeCounters()
    sent_by(*messages, refusal=refusal, counters=counters)

    assert (counters.accepted, dict(counters.refused)) == (accepted, refused)
    assert counters.seconds.count == 1


def test_counts_no_request_as_a_handshake() -> None:
    """Those are FastAPI's to count."""
    counters = HandshakeCounters()
    sent_by({"type": "http.response.start", "status": 200}, kind="http", counters=counters)

    assert counters.seconds.count == 0
