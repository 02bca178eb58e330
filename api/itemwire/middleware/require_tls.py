"""Refuses whatever comes without TLS, where the operator requires that."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what came over TLS."""
        if _may_pass(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            code, reason = TLS_REQUIRED.code, TLS_REQUIRED.reason
            await send({"type": "websocket.close", "code": code, "reason": reason})
        else:
            await problem(TLS_REQUIRED.status, TLS_REQUIRED.reason)(scope, receive, send)


def _may_pass(scope: Scope) -> bool:
    if scope["type"] not in {"http", "websocket"}:
        return True
    return scope.get("scheme") in ENCRYPTED or route_path(scope).startswith(HEALTH)
