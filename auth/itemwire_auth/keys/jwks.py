"""Fetches the keys that an issuer publishes at a URL, and keeps them fresh.

Whoever answers at that URL decides who may come in, so it is asked over TLS, at public addresses,
without redirects, and what it answers is bounded in size and time. Whoever brings a token decides
when a key is unknown, so that starts a fetch once in a while and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.static import (
    ALGORITHMS,
    JWK,
    StaticKeys,
    VerificationKey,
    read_set,
    verification_key,
)

MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100  # parsing one takes up to 0.1 ms, in which nothing else runs

LOGGED_LENGTH: Final = 300  # the other side chooses part of what goes wrong

# A secret here would be everybody's, and so would a private key.
PUBLIC: Final = tuple(name for name, (kind, _) in ALGORITHMS.items() if kind != "oct")

# Bytes are counted as they come: a compressed answer would be counted after it filled the memory.
_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
}

# Ways to write an address of another network into one that looks public (RFC 6052, RFC 3056).
TRANSLATED: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "2002::/16", "fec0::/10")))

_log: Final = logging.getLogger("itemwire.auth")


@dataclass(frozen=True, slots=True)
class Fetching:
    """How keys are fetched; times in seconds."""

    cooldown: float = 30  # between fetches that tokens with an unknown `kid` ask for
    refresh: float = 300  # between fetches that nobody asks for
    timeout: float = 5
    max_bytes: int = MAX_BYTES
    allow_http: bool = False  # and private addresses: for tests, and inside a private network


DEFAULTS: Final = Fetching()


class JWKSKeys:
    """The keys that a URL publishes; it belongs to one event loop.

    When a fetch fails, the keys there are stay; `failures` counts that. An answer without a usable
    key is a failure too. Keys that are no longer published are gone with the next fetch.
    """

    def __init__(
        self,
        url: str,
        fetching: Fetching = DEFAULTS,
        algorithms: Collection[str] = PUBLIC,
        clock: Callable[[], float] = time.monotonic,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = _checked(url, allow_http=fetching.allow_http)
        self._fetching = fetching
        if not (allowed := [name for name in algorithms if name in PUBLIC]):
            raise KeyProblem(f"what a URL publishes is for {', '.join(PUBLIC)} and nothing else")
        self._algorithms = allowed
        self._clock = clock
        # Made once: reading all the root certificates takes 20 ms.
        self._tls = tls or httpx.create_ssl_context()
        self._keys = StaticKeys([])
        self._body: bytes | None = None
        self._flight: asyncio.Task[bool] | None = None
        self._quiet_until = -1.0
        self._is_good = False
        self.source = f"the JWK Set at {self._url.copy_with(query=None)}"
        self.fetches = 0
        self.failures = 0

    @property
    def is_stale(self) -> bool:
        """Tell whether the last fetch failed, or none has come back yet."""
        return not self._is_good

    def find(self, kid: str | None) -> VerificationKey | None:
        """Find the key a token names among those that were fetched."""
        return self._keys.find(kid)

    async def refresh_for(self, kid: str | None, /) -> bool:
        """Fetch for the sake of an unknown `kid`, if that was not just done; tell if it is here."""
        if kid is None and len(self._keys):
            return False  # there are keys, and the token should have said which
        if self._flight is None:
            # Counted from such fetches alone: a key that was published after a fetch that nobody
            # asked for is found at once, and a stranger still starts no more than one in a while.
            if self._clock() < self._quiet_until:
                return False
            self._quiet_until = self._clock() + self._fetching.cooldown
        await self.refresh()
        return self.find(kid) is not None

    async def refresh(self) -> bool:
        """Fetch the keys and tell whether that went well; who asks meanwhile waits for the same."""
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch())
            self._flight.add_done_callback(self._landed)
        # One who gives up waiting must not end it for the others.
        return await asyncio.shield(self._flight)

    async def keep_fresh(self) -> None:
        """Fetch again and again; after a failure sooner."""
        while True:
            usual, soon = self._fetching.refresh, self._fetching.cooldown
            await asyncio.sleep(usual if self._is_good else min(usual, soon))
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - logged
                # Without the next one, removed keys would work for ever.
                _log.exception("jwks_fetch_crashed source=%r", self.source)

    async def stop(self) -> None:
        """Give up a fetch that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])

    def _landed(self, _flight: asyncio.Task[bool]) -> None:
        self._flight = None

    async def _fetch(self) -> bool:
        """Fetch once; a failure is logged and counted, and changes nothing."""
        self.fetches += 1
        try:
            async with asyncio.timeout(self._fetching.timeout):
                body = await self._download()
            if body != self._body:
                self._keys = self._keys.renewed(self._usable(body))
                self._body = body
                _log.info("jwks_changed source=%r keys=%d", self.source, len(self._keys))
            self._is_good = True
        except (httpx.HTTPError, OSError, ValueError) as error:
            self._is_good = False
            self.failures += 1
            _log.warning(
                "jwks_failed source=%r failures=%d keys=%d detail=%.*r",
                self.source,
                self.failures,
                len(self._keys),
                LOGGED_LENGTH,
                f"{type(error).__name__}: {str(error) or 'no answer in time'}",
            )
        return self._is_good

    async def _download(self) -> bytes:
        """Ask one address after the other until one lets us connect."""
        problem: Exception = KeyProblem(
            f"{self._url.host} has no public address (see ITEMWIRE_JWKS_ALLOW_HTTP)"
        )
        async with httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,  # a proxy would choose the address
            timeout=httpx.Timeout(None, connect=self._fetching.timeout / 2),
        ) as client:
            for address in await self._addresses():
                try:
                    return await self._get(client, address)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    problem = error
        raise problem

    async def _addresses(self) -> list[str]:
        """Look the name up; what is checked here is what is connected to (DNS rebinding)."""
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
            follow_redirects=False,
        ) as response:
            if response.status_code != httpx.codes.OK:
                raise KeyProblem(f"it answered {response.status_code} instead of 200")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._fetching.max_bytes:
                    raise KeyProblem(f"it is larger than {self._fetching.max_bytes} bytes")
        return bytes(body)

    def _usable(self, body: bytes) -> list[VerificationKey]:
        """Parse the keys that are for us; the others are left out (RFC 7517 section 5)."""
        listed = read_set(body, self.source)
        if len(listed) > MAX_KEYS:
            raise KeyProblem(f"{self.source} has {len(listed)} keys of at most {MAX_KEYS}")
        keys = list(self._parsed(listed))
        if not keys:
            raise KeyProblem(f"{self.source} has no usable key")
        return keys

    def _parsed(self, listed: list[tuple[str, JWK]]) -> Iterator[VerificationKey]:
        for label, jwk in listed:
            try:
                yield self._parse(label, jwk, is_only=len(listed) == 1)
            except KeyProblem as problem:
                _log.warning("jwks_key_left_out detail=%.*r", LOGGED_LENGTH, str(problem))

    def _parse(self, label: str, jwk: JWK, *, is_only: bool) -> VerificationKey:
        if "d" in jwk or "k" in jwk:
            raise KeyProblem(f"{label} is published with its secret part: revoke it")
        key = verification_key(label, jwk, self._algorithms)
        if key.kid is None and not is_only:
            raise KeyProblem(f"{label} has no kid and is not the only one")
        return key


async def fetch_all(sources: Sequence[JWKSKeys]) -> None:
    """Fetch the keys of all sources at once; what fails is logged."""
    await asyncio.gather(*(source.refresh() for source in sources))


@contextlib.asynccontextmanager
async def kept_fresh(sources: Sequence[JWKSKeys]) -> AsyncIterator[None]:
    """Fetch the keys of all sources, then again and again; one that is away holds up no start."""
    await fetch_all(sources)
    tasks = [asyncio.create_task(source.keep_fresh()) for source in sources]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(source.stop() for source in sources), return_exceptions=True)


def _checked(text: str, *, allow_http: bool) -> httpx.URL:
    """Parse the URL, or raise KeyProblem saying what it must be like."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise KeyProblem(f"the JWKS URL is none: {error}") from None
    if not url.host or url.userinfo:
        raise KeyProblem("the JWKS URL must have a host, and no user name or password")
    if url.scheme != "https" and not (allow_http and url.scheme == "http"):
        raise KeyProblem(
            "the JWKS URL must begin with https://, for whoever is between could put in keys of "
            "his own; ITEMWIRE_JWKS_ALLOW_HTTP=true takes http:// for tests"
        )
    return url


def _is_public(address: str) -> bool:
    """Tell whether an address is one of the internet, and not of this machine or its network."""
    ip = ipaddress.ip_address(address)
    return (
        ip.is_global
        and not ip.is_multicast
        and not any(ip in network for network in TRANSLATED if network.version == ip.version)
    )
