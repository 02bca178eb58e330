"""What a refused handshake looks like on the wire, and how handshakes are counted."""

import asyncio
from typing import Any, Literal

import pytest
from starlette.types import Message, Receive, Scope, Send

from itemwire.close_reasons import Retry
from itemwire.counters import HandshakeCounters
from itemwire.middleware.refusals import Refusals
from itemwire.responses.rejections import RETRY


def sent_by(
    *messages: Message | Exception,
    refusal: Literal["close", "http"] = "close",
    kind: str = "websocket",
    extensions: dict[str, Any] | None = None,
    counters: HandshakeCounters | None = None,
    query: bytes | None = None,
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

    scope: Scope = {"type": kind, "path": "/x", "subprotocols": ["itemwire.v1.json"]}
    if query is not None:
        scope["query_string"] = query
    app = Refusals(application, refusal, counters)
    asyncio.run(app({**scope, "extensions": extensions or {}}, receive, send))
    return sent


CLOSE: Message = {"type": "websocket.close", "code": 1008, "reason": "forbidden"}
NO_ROUTE: Message = {"type": "websocket.close", "code": 1000, "reason": ""}
ACCEPT: Message = {"type": "websocket.accept"}


def test_a_refusal_is_accepted_and_closed_with_the_codec_answered() -> None:
    """Browsers give up a handshake that answers none of the subprotocols they offered."""
    accept, close = sent_by(CLOSE)

    assert (accept["type"], accept["subprotocol"]) == ("websocket.accept", "itemwire.v1.json")
    assert close == CLOSE


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        pytest.param(b"token=x&hints=1", "forbidden;retry=never", id="asks"),
        pytest.param(b"hints=0&hints=1", "forbidden;retry=never", id="asks_at_last"),
        pytest.param(b"hints=1&hints=0", "forbidden", id="asks_no_more"),
        pytest.param(b"hints=11", "forbidden", id="another_value"),
        pytest.param(b"nohints=1", "forbidden", id="another_name"),
        pytest.param(b"", "forbidden", id="asks_nothing"),
    ],
)
def test_a_refusal_has_its_verdict_for_who_asks(query: bytes, reason: str) -> None:
    """So that no client has to copy the table of reasons."""
    assert sent_by(CLOSE, query=query)[-1]["reason"] == reason


def test_an_own_reason_keeps_its_verdict_in_both_forms() -> None:
    """An application may know that a new token would help."""
    own = {**CLOSE, "reason": "blocked", RETRY: Retry.TOKEN}
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    start, body = sent_by(own, refusal="http", extensions=extensions)

    assert sent_by(own, query=b"hints=1")[-1] == {**CLOSE, "reason": "blocked;retry=token"}
    assert sent_by(own)[-1] == {**CLOSE, "reason": "blocked"}
    assert start["status"] == 401
    assert body["body"] == b'{"code":1008,"reason":"blocked","retry":"token"}'


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
