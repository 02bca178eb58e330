"""Keeps answers to URLs with a credential out of caches, and the URLs out of `Referer`."""

from collections.abc import Awaitable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from itemwire_auth.credentials import QUERY_NAME, TICKET_NAME, has_query_field

CREDENTIALS: Final = frozenset({QUERY_NAME, TICKET_NAME})
STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start"})


class NoStore:
    """ASGI middleware: an answer to a query with a credential is stored nowhere.

    RFC 6750 section 2.3. By default a cache may store a page under its URL, credential included,
    and a browser sends that URL to the sites that the page links to.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Set two headers of the answer, whatever the route set them to."""
        if scope["type"] == "lifespan" or not has_query_field(scope, CREDENTIALS):
            return self._app(scope, receive, send)
        is_undecided = "websocket.http.response" in scope.get("extensions", {})

        async def send_private(message: Message) -> None:
            nonlocal is_undecided
            if is_undecided and message["type"] == "websocket.close":
                await _deny(send_private)
                return
            is_undecided = False
            if message["type"] in STARTS:
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-store"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        return self._app(scope, receive, send_private)


async def _deny(send: Send) -> None:
    """Deny a handshake as the server would, which puts no headers of ours on its own 403."""
    headers = [(b"content-length", b"0")]
    await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b""})
