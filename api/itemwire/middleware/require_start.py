"""Refuses what needs the node while the application's lifespan does not run."""

import logging
import re
from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire.channels.node import Node
from itemwire.close_reasons import OVERLOADED
from itemwire.middleware.route_path import route_path
from itemwire.responses.problems import problem
from itemwire.responses.rejections import RETRY_AFTER

logger = logging.getLogger("itemwire.startup")

NEEDS_NODE: Final = re.compile(
    r"/items/.*/(messages|members|events)|/messages|/(auth|admin)/.*", re.DOTALL
)
"""The HTTP routes that need the node, its engine, or the revocations that it learns of."""


REMEDY: Final = (
    "the lifespan of the channels does not run, so whatever needs their node is refused; put them "
    "into the application that the server runs by include_router(live.router, prefix=...), or, "
    "where they are mounted or included in a sub-application, enter live.lifespan(app) in its "
    "lifespan; of create_app(), that is app.router.lifespan_context(app)"
)


class RequireStart:
    """ASGI middleware: refuses with `overloaded` until the node is started.

    Starlette does not run the lifespan of an application that is mounted in another one. Without
    it no token would ever expire on a socket, no revocation would arrive, and no message either.
    """

    def __init__(self, app: ASGIApp, node: Node) -> None:
        self._app = app
        self._node = node
        self._has_logged = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on if the node is started or the request does not need it."""
        # Not a coroutine function: over plain ASGI its frame would live as long as the socket.
        if self._node.is_started:
            return self._app(scope, receive, send)
        return self._without_node(scope, receive, send)

    async def _without_node(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self._log_once()
            await send(
                {"type": "websocket.close", "code": OVERLOADED.code, "reason": OVERLOADED.reason}
            )
        elif _needs_node(scope):
            self._log_once()
            again = {"Retry-After": RETRY_AFTER}
            answer = problem(OVERLOADED.status, OVERLOADED.reason, headers=again)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _log_once(self) -> None:
        if not self._has_logged:
            self._has_logged = True
            logger.error("not_started problem=%r", REMEDY)


def _needs_node(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    return NEEDS_NODE.fullmatch(route_path(scope)) is not None
