"""Lets nobody in who comes unencrypted, where that is wanted."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire.close_reasons import TLS_REQUIRED
from itemwire.responses.problems import problem

ENCRYPTED: Final = frozenset({"https", "wss"})
HEALTH: Final = "/health/"  # whoever restarts and routes asks from beside, as a rule without TLS


class RequireTLS:
    """ASGI middleware: refuses whatever did not come by TLS, before a credential is looked at.

    How it came the server knows, or a trusted proxy says (`X-Forwarded-Proto`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what came encrypted."""
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
    return scope.get("scheme") in ENCRYPTED or scope["path"].startswith(HEALTH)
