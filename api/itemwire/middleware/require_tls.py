"""Refuses whatever comes without TLS, where the operator requires that."""

from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire.close_reasons import TLS_REQUIRED
from itemwire.middleware.route_path import route_path
from itemwire.responses.problems import problem

ENCRYPTED: Final = frozenset({"https", "wss"})
HEALTH: Final = "/health/"  # orchestrators probe from the same network, mostly without TLS


class RequireTLS:
    """ASGI middleware: refuses requests without TLS, before any credential is checked.

    The scheme is what the server saw, or what a trusted proxy says (`X-Forwarded-Proto`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass on what came over TLS."""
        if _may_pass(scope):
            return self._app(scope, receive, send)
        return _refuse(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        code, reason = TLS_REQUIRED.code, TLS_REQUIRED.reason
        await send({"type": "websocket.close", "code": code, "reason": reason})
    else:
        await problem(TLS_REQUIRED.status, TLS_REQUIRED.reason)(scope, receive, send)


def _may_pass(scope: Scope) -> bool:
    if scope["type"] not in {"http", "websocket"}:
        return True
    return scope.get("scheme") in ENCRYPTED or route_path(scope).startswith(HEALTH)
