"""httpx, loaded when one of its names is first asked for: most servers call nobody."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx import (
        URL,
        AsyncClient,
        AsyncHTTPTransport,
        ConnectError,
        ConnectTimeout,
        HTTPError,
        InvalidURL,
        Limits,
        Response,
        Timeout,
        create_ssl_context,
    )

__all__ = [
    "URL",
    "AsyncClient",
    "AsyncHTTPTransport",
    "ConnectError",
    "ConnectTimeout",
    "HTTPError",
    "InvalidURL",
    "Limits",
    "Response",
    "Timeout",
    "create_ssl_context",
]


def __getattr__(name: str) -> object:
    """Load what is asked for on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module("httpx"), name)
    globals()[name] = value
    return value
