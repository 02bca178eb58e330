"""Downloads what an issuer publishes at a URL.

The server behind that URL decides who may come in. So it is reached over TLS, at public addresses
only and without redirects, and its answer is bounded in size and time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from typing_extensions import override

from itemwire_auth import http_client as httpx
from itemwire_auth.errors import KeyProblem

MAX_BYTES: Final = 256 * 1024

# Bytes are counted as they arrive: a compressed answer would fill the memory before it is counted.
_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
}

# Ways to write a private IPv4 address as an IPv6 address that looks public (RFC 6052, RFC 3056).
TRANSLATED: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "2002::/16", "fec0::/10")))


@dataclass(frozen=True, slots=True)
class Fetching:
    """How published keys are fetched; times in seconds."""

    cooldown: float = 30  # least time between fetches for tokens with an unknown `kid`
    refresh: float = 300  # between regular fetches
    timeout: float = 5
    max_bytes: int = MAX_BYTES
    allow_http: bool = False  # and private addresses: for tests, and inside a private network


DEFAULTS: Final = Fetching()


class KeySetURL:
    """One URL, and how it is downloaded; a URL that is not safe raises KeyProblem."""

    def __init__(self, url: str, fetching: Fetching, tls: ssl.SSLContext | None = None) -> None:
        self._url = _checked(url, allow_http=fetching.allow_http)
        self._fetching = fetching
        # Made once: reading all the root certificates takes 20 ms.
        self._tls = tls or httpx.create_ssl_context()

    @override
    def __str__(self) -> str:
        """Return the URL without its query, which may hold an API key."""
        return str(self._url.copy_with(query=None))

    async def download(self) -> bytes:
        """Return the body of the answer; KeyProblem, OSError or an error of httpx if it fails.

        Takes at most the configured time (TimeoutError). Addresses are tried until one connects.
        """
        async with asyncio.timeout(self._fetching.timeout):
            return await self._download()

    async def _download(self) -> bytes:
        problem: Exception = KeyProblem(
            f"{self._url.host} has no public address (see ITEMWIRE_JWKS_ALLOW_HTTP)"
        )
        async with httpx.open_client(
            self._tls, httpx.Timeout(None, connect=self._fetching.timeout / 2)
        ) as client:
            for address in await self._addresses():
                try:
                    return await self._get(client, address)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    problem = error
        raise problem

    async def _addresses(self) -> list[str]:
        """Resolve the name; the address that is checked here is connected to (DNS rebinding)."""
        found = await asyncio.get_running_loop().getaddrinfo(
            self._url.raw_host.decode("ascii"), self._url.port or 443, type=socket.SOCK_STREAM
        )
        addresses = dict.fromkeys(str(row[4][0]) for row in found)
        return [it for it in addresses if self._fetching.allow_http or _is_public(it)]

    async def _get(self, client: httpx.AsyncClient, address: str) -> bytes:
        """Read the answer of one address, up to the bound."""
        async with client.stream(
            "GET",
            self._url.copy_with(host=address),
            headers=_HEADERS | {"Host": self._url.netloc.decode("ascii")},
            extensions={"sni_hostname": self._url.raw_host.decode("ascii")},
        ) as response:
            if response.status_code != HTTPStatus.OK:
                raise KeyProblem(f"it answered {response.status_code} instead of 200")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._fetching.max_bytes:
                    raise KeyProblem(f"it is larger than {self._fetching.max_bytes} bytes")
        return bytes(body)


def _checked(text: str, *, allow_http: bool) -> httpx.URL:
    """Parse the URL, or raise KeyProblem saying what is wrong with it."""
    try:
        url = httpx.checked_url(text)
    except ValueError as error:
        raise KeyProblem(f"the JWKS URL is not valid: {error}") from None
    if not url.host or url.userinfo:
        raise KeyProblem("the JWKS URL must have a host, and no user name or password")
    if url.scheme != "https" and not (allow_http and url.scheme == "http"):
        raise KeyProblem(
            "the JWKS URL must begin with https://: over http anybody on the way could put in keys "
            "of their own; ITEMWIRE_JWKS_ALLOW_HTTP=true allows http:// for tests"
        )
    return url


def _is_public(address: str) -> bool:
    """Return whether an address is on the internet, not on this machine or a private network."""
    ip = ipaddress.ip_address(address)
    return (
        ip.is_global
        and not ip.is_multicast
        and not any(ip in network for network in TRANSLATED if network.version == ip.version)
    )
