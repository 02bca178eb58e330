"""Lets the pages of allowed origins read the answers of the HTTP routes (CORS)."""

from collections.abc import Sequence
from typing import ClassVar, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Send
from typing_extensions import override

from itemwire_auth.origins import NULL, SELF, OriginPolicy

METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Itemwire-End",
    "Itemwire-Meta",
    "Last-Event-ID",
)
EXPOSED: Final = ("Retry-After", "WWW-Authenticate")


def named_origins(allowed: Sequence[str]) -> list[str]:
    """Return the allowed origins that are named.

    The server's own needs no CORS. `null` may be a sandboxed frame on anybody's page, and would
    read with its visitor's cookie.
    """
    return [origin for origin in allowed if origin not in (SELF, NULL)]


class CrossOrigin(CORSMiddleware):
    """ASGI middleware: tells browsers that the pages of named origins may read the answers.

    Also that their requests may carry the cookie, which counts from the same origins alone.
    """

    ignores_sockets: ClassVar[bool] = True

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_methods=METHODS,
            allow_headers=HEADERS,
            allow_credentials=True,
            expose_headers=EXPOSED,
        )
        self._policy = OriginPolicy(origins)

    @override
    def is_allowed_origin(self, origin: str) -> bool:
        return self._policy.allows([origin], scheme="", host="")

    @override
    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        origin = request_headers.get("origin")
        if origin is not None and self.is_allowed_origin(origin):
            await super().send(message, send, request_headers)
            return
        if message["type"] == "http.response.start":
            # A cache must not give this answer, which no page may read, to an allowed one.
            MutableHeaders(scope=message).add_vary_header("Origin")
        await send(message)
