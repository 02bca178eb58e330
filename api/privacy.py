"""Keeps what a credential in a query opened out of caches, and its URL out of other sites."""

from typing import Final

from starlette.datastructures import MutableHeaders, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth.credentials import QUERY_NAME, TICKET_NAME

CREDENTIALS: Final = frozenset({QUERY_NAME, TICKET_NAME})


class Privacy:
    """ASGI middleware: an answer to a request with a credential in its query is for it alone.

    RFC 6750 section 2.3. By default a cache may keep a page under its URL, credential and all, and
    a browser tells the URL to where the page's links lead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put two headers on the answer, in place of the route's own if it has them."""
        if scope["type"] != "http" or CREDENTIALS.isdisjoint(QueryParams(scope["query_string"])):
            await self._app(scope, receive, send)
            return

        async def send_private(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-store"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, send_private)
