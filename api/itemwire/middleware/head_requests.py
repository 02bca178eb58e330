"""Answers HEAD as GET, without the body (RFC 9110 section 9.3.2)."""

from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

IS_HEAD: Final = "itemwire.head"  # a key of the ASGI scope, which no client can set


class HeadRequests:
    """ASGI middleware: hands HEAD to the route of GET, and sends no body.

    FastAPI's routes take no HEAD of their own, and container checks and load balancers send it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass HEAD on as GET; a route whose answer has no end looks at `is_head`."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return self._app(scope, receive, send)

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server looks at its own to know that no body follows.
        return self._app({**scope, "method": "GET", IS_HEAD: True}, receive, send_head)


def is_head(scope: Scope) -> bool:
    """Return whether a client asked for the head of an answer alone."""
    return IS_HEAD in scope
