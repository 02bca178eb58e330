"""Refuses requests with too many parts, on servers whose protocol class does not.

Itemwire's own classes refuse them before there is a scope (`itemwire.fastpath.head_rules`), so a
handshake that comes by them is not counted again: that takes 6 µs.
"""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire.close_reasons import QUERY_INVALID
from itemwire.fastpath.extension import BOUNDED
from itemwire.responses.problems import problem
from itemwire_auth.request_bounds import refusal_of_headers, refusal_of_target

REQUESTS: Final = frozenset({"http", "websocket"})


class RequestBounds:
    """ASGI middleware: refuses what would be dear to parse, before anything parses it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Refuse with 400, 414 or 431; a handshake with `query_invalid`."""
        status = None
        if scope["type"] in REQUESTS and BOUNDED not in scope:
            status = _refusal_of(scope)
        if status is None:
            return self._app(scope, receive, send)
        return _refuse(status, scope, receive, send)


async def _refuse(status: HTTPStatus, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        scope["subprotocols"] = []  # the refusal would look for a codec among all of them
        close = {"code": QUERY_INVALID.code, "reason": QUERY_INVALID.reason}
        await send({"type": "websocket.close", **close})
    else:
        code = QUERY_INVALID.reason if status is HTTPStatus.BAD_REQUEST else None
        answer = problem(status, status.phrase, code=code)
        await answer(scope, receive, send)


def _refusal_of(scope: Scope) -> HTTPStatus | None:
    path = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return refusal_of_target(path, query) or refusal_of_headers(scope["headers"])
