"""Puts the client that a trusted proxy names into the scope, ahead of every application."""

from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from typing_extensions import override

from itemwire_auth.forwarded import FORWARDED, TrustedProxies, as_scope

ASGIApp = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class ForwardedClient:
    """ASGI middleware in place of uvicorn's, which compares names as they are written.

    That one reads no Forwarded, and trusts no peer of a Unix socket and, on a listener for both
    versions of IP, none of IPv4.
    """

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Awaitable[None]:  # noqa: ANN401 - of ASGI
        """Pass everything on, by the name of its client."""
        # Not a coroutine function: over plain ASGI its frame would live as long as the socket.
        if scope["type"] != "lifespan":
            peer: tuple[str, int] | None = scope.get("client")
            told = self._proxies.told_by(peer[0] if peer else None, scope["headers"])
            scope.update(as_scope(told, scope))
            if told.client is not None:
                scope[FORWARDED] = True
        return self._app(scope, receive, send)


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, with the proxies that are trusted."""

    def __init__(self, app: Any, proxies: TrustedProxies, **options: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(app, proxy_headers=False, **options)
        self._proxies = proxies

    @override
    def load(self) -> None:
        super().load()
        self.loaded_app = ForwardedClient(self.loaded_app, self._proxies)
