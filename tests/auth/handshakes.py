"""Builds connections the way a server hands them over."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import HTTPConnection

Headers = Iterable[tuple[str, str]]


def handshake(
    query: str = "",
    headers: Headers = (),
    *,
    subprotocols: Iterable[str] = (),
    item_id: str = "42",
    scheme: str = "ws",
    method: str | None = None,
) -> HTTPConnection:
    """Return a WebSocket handshake, or with a method a request; header names may repeat."""
    return HTTPConnection(
        {
            "type": "http" if method else "websocket",
            **({"method": method} if method else {}),
            "scheme": scheme,
            "path": f"/items/{item_id}/ws",
            "path_params": {"item_id": item_id},
            "query_string": query.encode("latin-1"),
            "headers": [
                (name.lower().encode(), value.encode("latin-1")) for name, value in headers
            ],
            "subprotocols": list(subprotocols),
            "client": ("192.0.2.7", 50000),
        }
    )
