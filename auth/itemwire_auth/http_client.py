"""httpx, loaded when one of its names is first asked for: most servers call nobody.

And what is asked of each URL that a server calls by itself, and of each answer.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib import import_module
from typing import TYPE_CHECKING, Final

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

MOST_PORT: Final = 65_535

# Letters, digits, hyphens and, as in the names of containers, underscores: up to 63 of them between
# dots (RFC 1035 section 2.3.4). An address of IPv6 is checked by httpx.
_HOST: Final = re.compile(rb"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?|.*:.*")


def __getattr__(name: str) -> object:
    """Load what is asked for on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module("httpx"), name)
    globals()[name] = value
    return value


def checked_url(text: str) -> URL:
    """Return a URL with a host that can be called, or raise ValueError saying why it cannot.

    Whatever httpx refuses only when it is called is found here, so that a wrong setting ends the
    start and no request.
    """
    module = import_module("httpx")
    try:
        url: URL = module.URL(text)
        _ = url.host  # decoded only now: this raises for a label that is no Punycode
    except (module.InvalidURL, ValueError) as error:
        raise ValueError(str(error)) from None
    if url.port is not None and not 0 < url.port <= MOST_PORT:
        raise ValueError(f"port {url.port} is not 1 to {MOST_PORT}")
    if url.raw_host and _HOST.fullmatch(url.raw_host) is None:
        raise ValueError(f"{url.host!r} is no name of a host")
    return url


def open_client(
    tls: ssl.SSLContext,
    timeout: Timeout,
    *,
    headers: Mapping[str, str] | None = None,
    max_connections: int = 100,
) -> AsyncClient:
    """Return a client for one URL, which follows no redirect and remembers no cookie.

    No proxy is asked that the environment names: it would see, or choose, what nobody else may.
    """
    module = import_module("httpx")
    client: AsyncClient = module.AsyncClient(
        verify=tls,
        timeout=timeout,
        headers=headers,
        limits=module.Limits(max_connections=max_connections),
        trust_env=False,
        follow_redirects=False,
        # One for all callers: the next question would carry what the answer about another set.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        event_hooks={"response": [_without_location]},
    )
    return client


async def _without_location(response: Response) -> None:
    """Drop where a redirect leads: httpx reads it even so, and fails at `data:x` by a fault."""
    response.headers.pop("location", None)
