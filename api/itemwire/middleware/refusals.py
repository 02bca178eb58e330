"""Puts a refused handshake into the form that was configured, and counts handshakes.

RFC 6455 lets a server refuse a handshake with an HTTP status, but a browser hides that from its
script: `CloseEvent` has code 1006 and an empty reason. So by default a refused handshake is
accepted and closed at once; nothing is read from the client and no channel is joined.
"""

import logging
import time
from typing import Final, Literal

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from itemwire.close_reasons import CREDENTIALS_INVALID, INTERNAL, CloseReason, Retry
from itemwire.counters import HandshakeCounters, known_reason
from itemwire.responses.hints import asks_for_hints
from itemwire.responses.rejections import (
    PASSING_STATUSES,
    RETRY,
    RETRY_AFTER,
    reason_of_close,
)
from itemwire.wire import choose_codec

logger = logging.getLogger("itemwire.refusals")

RefusalForm = Literal["close", "http"]

NO_ROUTE: Final = 1000  # the code with which Starlette's router closes an unknown path

OPEN_AFTER: Final = frozenset({"", "websocket.accept", "websocket.send"})


class Refusals:
    """ASGI middleware: sends a refused handshake in the configured form.

    `close` accepts and closes the socket, which browsers can read; `http` denies the handshake
    with a status and a JSON body. An exception that nothing else handled is logged and closes the
    socket with `internal`.
    """

    def __init__(
        self, app: ASGIApp, form: RefusalForm, counters: HandshakeCounters | None = None
    ) -> None:
        self._app = app
        self._counters = counters or HandshakeCounters()
        self._deny = _deny_by_http if form == "http" else _deny_by_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; only the first answer to a handshake may be rewritten."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        last = ""
        began = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal last
            first, last = not last, message["type"]
            if first:
                self._count(message, time.perf_counter() - began)
            refused = first and last == "websocket.close"
            # Code 1000 is the router's "no such route", which stays a plain HTTP 403.
            if refused and message.get("code", NO_ROUTE) != NO_ROUTE:
                await self._deny(scope, send, _reason_of(message))
            else:
                await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            logger.exception("route_failed path=%r", str(scope["path"])[:200])
            if last in OPEN_AFTER:
                await watch(_close(INTERNAL))

    def _count(self, answer: Message, seconds: float) -> None:
        """Count a handshake by its answer."""
        self._counters.seconds.observe(seconds)
        if answer["type"] == "websocket.accept":
            self._counters.accepted += 1
        else:
            self._counters.refused[known_reason(answer.get("reason") or "")] += 1


async def _deny_by_close(scope: Scope, send: Send, row: CloseReason) -> None:
    _, subprotocol = choose_codec(scope.get("subprotocols", ()))
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
    text = row.with_verdict if asks_for_hints(scope) else row.reason
    await send({"type": "websocket.close", "code": row.code, "reason": text})


async def _deny_by_http(scope: Scope, send: Send, row: CloseReason) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send(_close(row))  # the server turns this into a bare 403
        return
    body = msgspec.json.encode({"code": row.code, "reason": row.reason, "retry": row.retry})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
    ]
    if row.status == CREDENTIALS_INVALID.status:
        headers.append((b"www-authenticate", b"Bearer"))
    if row.status in PASSING_STATUSES:
        headers.append((b"retry-after", RETRY_AFTER.encode()))
    await send({"type": "websocket.http.response.start", "status": row.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _reason_of(close: Message) -> CloseReason:
    retry: Retry = close.get(RETRY, Retry.NEVER)
    return reason_of_close(close["code"], close.get("reason") or "", retry)


def _close(row: CloseReason) -> Message:
    return {"type": "websocket.close", "code": row.code, "reason": row.reason}
