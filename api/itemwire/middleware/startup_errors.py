"""Reports an engine that cannot be used at start-up in one line of the log."""

import sys
from collections.abc import Awaitable
from typing import ClassVar, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from itemwire.engines.base import EngineError, UnfitEngine

IS_UNFIT: Final = "itemwire.unfit"
"""The key of the lifespan's state under which the server is told that a restart will not help."""


class StartupErrors:
    """ASGI middleware: reports an unusable engine in one line instead of a traceback."""

    ignores_sockets: ClassVar[bool] = True

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Replace the traceback that Starlette sends to the server by the engine's message."""
        if scope["type"] != "lifespan":
            return self.app(scope, receive, send)

        async def send_brief(message: Message) -> None:
            problem = sys.exception()  # Starlette sends the failure while it handles the exception
            if message["type"] == "lifespan.startup.failed" and isinstance(problem, EngineError):
                message["message"] = str(problem)
                if isinstance(problem, UnfitEngine):
                    scope.get("state", {})[IS_UNFIT] = True
            await send(message)

        return self.app(scope, receive, send_brief)
