"""Refuses new sockets and changes while the node goes out of service."""

from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire.channels.node import Node
from itemwire.close_reasons import DRAINING
from itemwire.middleware.route_path import route_path
from itemwire.responses.problems import problem
from itemwire.responses.rejections import RETRY_AFTER

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPERATORS: Final = "/admin/"  # operators may still revoke tokens, and hasten the drain


class RefuseWhileDraining:
    """ASGI middleware: refuses sockets, and requests that change something, with `draining`.

    It comes before any credential is checked: the answer is the same for every caller.
    """

    def __init__(self, app: ASGIApp, node: Node) -> None:
        self._app = app
        self._node = node

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass everything on unless the node drains."""
        if not self._node.is_draining:
            return self._app(scope, receive, send)
        return self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send(
                {"type": "websocket.close", "code": DRAINING.code, "reason": DRAINING.reason}
            )
        elif _changes_something(scope):
            again = {"Retry-After": RETRY_AFTER}
            answer = problem(DRAINING.status, DRAINING.reason, headers=again)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _changes_something(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] not in SAFE_METHODS
        and not route_path(scope).startswith(OPERATORS)
    )
