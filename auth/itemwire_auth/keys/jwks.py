"""Keys that an issuer publishes at a URL, fetched again and again.

Any caller can send a token with an unknown `kid`, so such tokens start a fetch only once in a
while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from typing import Final

import httpx
from typing_extensions import override

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.algorithms import PUBLIC_ALGORITHMS, VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.fetching import DEFAULTS, Fetching, KeySetURL
from itemwire_auth.keys.jwk import JWK, parse_verification_key, read_set
from itemwire_auth.keys.static import StaticKeys

MAX_KEYS: Final = 100  # parsing one takes up to 0.1 ms, in which nothing else runs

LOGGED_LENGTH: Final = 300  # the other side chooses part of what goes wrong

_log: Final = logging.getLogger("itemwire.auth")


class JWKSKeys(KeySource):
    """The keys that a URL publishes; an instance belongs to one event loop.

    A failed fetch leaves the present keys in place and adds one to `failures`; an answer without
    a usable key is a failure too. A key that is no longer published is gone with the next fetch.
    """

    def __init__(
        self,
        url: str,
        fetching: Fetching = DEFAULTS,
        algorithms: Collection[str] = PUBLIC_ALGORITHMS,
        clock: Callable[[], float] = time.monotonic,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = KeySetURL(url, fetching, tls)
        self._fetching = fetching
        if not (allowed := [name for name in algorithms if name in PUBLIC_ALGORITHMS]):
            names = ", ".join(PUBLIC_ALGORITHMS)
            raise KeyProblem(f"published keys can be for {names} and nothing else")
        self._algorithms = allowed
        self._clock = clock
        self._keys = StaticKeys([])
        self._body: bytes | None = None
        self._running: asyncio.Task[bool] | None = None
        self._quiet_until = -1.0
        self._is_good = False
        self.source = f"the JWK Set at {self._url}"
        self.fetches = 0
        self.failures = 0

    @property
    def is_stale(self) -> bool:
        """Return whether the last fetch failed, or none has ended yet."""
        return not self._is_good

    @override
    def find(self, kid: str | None) -> VerificationKey | None:
        """Return the key with this `kid` among those that were fetched."""
        return self._keys.find(kid)

    @override
    async def refresh_for(self, kid: str | None, /) -> bool:
        """Fetch because of an unknown `kid`, unless just done; return whether it is found now."""
        if kid is None and len(self._keys):
            return False  # there are keys, and the token should have said which
        if self._running is None:
            # Only fetches for an unknown `kid` start the cooldown: a key that is published after a
            # regular fetch is found at once, and strangers cannot start more than one in a while.
            if self._clock() < self._quiet_until:
                return False
            self._quiet_until = self._clock() + self._fetching.cooldown
        await self.refresh()
        return self.find(kid) is not None

    async def refresh(self) -> bool:
        """Fetch the keys and return whether that succeeded; concurrent callers share one fetch."""
        if self._running is None:
            self._running = asyncio.create_task(self._fetch())
            self._running.add_done_callback(self._ended)
        # A caller that is cancelled must not end the fetch for the others.
        return await asyncio.shield(self._running)

    async def keep_fresh(self) -> None:
        """Fetch regularly, for ever; sooner after a failure."""
        while True:
            usual, soon = self._fetching.refresh, self._fetching.cooldown
            await asyncio.sleep(usual if self._is_good else min(usual, soon))
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - logged
                # If the loop ended here, removed keys would work for ever.
                _log.exception("jwks_fetch_crashed source=%r", self.source)

    async def stop(self) -> None:
        """Cancel a fetch that is running."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _ended(self, _task: asyncio.Task[bool]) -> None:
        self._running = None

    async def _fetch(self) -> bool:
        """Fetch once; a failure is logged and counted, and changes nothing."""
        self.fetches += 1
        try:
            body = await self._url.download()
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

    def _usable(self, body: bytes) -> list[VerificationKey]:
        """Parse the keys that verify tokens; others are left out (RFC 7517 section 5)."""
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
        key = parse_verification_key(label, jwk, self._algorithms)
        if key.kid is None and not is_only:
            raise KeyProblem(f"{label} has no kid and is not the only key")
        return key


async def fetch_all(sources: Sequence[JWKSKeys]) -> None:
    """Fetch the keys of all sources at the same time; failures are logged."""
    await asyncio.gather(*(source.refresh() for source in sources))


@contextlib.asynccontextmanager
async def kept_fresh(sources: Sequence[JWKSKeys]) -> AsyncGenerator[None]:
    """Fetch the keys of all sources once, then regularly while the context lasts.

    A source that does not answer does not keep the server from starting.
    """
    await fetch_all(sources)
    tasks = [asyncio.create_task(source.keep_fresh()) for source in sources]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(source.stop() for source in sources), return_exceptions=True)
