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
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Final

from typing_extensions import override

from itemwire_auth import http_client as httpx
from itemwire_auth.errors import KeyProblem, Unavailable
from itemwire_auth.keys.algorithms import PUBLIC_ALGORITHMS, VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.fetching import DEFAULTS, Fetching, KeySetURL
from itemwire_auth.keys.jwk import jwk_of, parse_verification_key, read_set
from itemwire_auth.keys.static import LOGGED_LENGTH, StaticKeys, usable

MAX_KEYS: Final = 100  # that are looked through for each token

MAX_LOGGED: Final = 10  # keys of a set that are left out; of the others, how many

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

    @property
    @override
    def has_keys(self) -> bool:
        """Return whether a fetch has ever succeeded: its keys stay until another one does."""
        return len(self._keys) > 0

    @property
    @override
    def algorithms(self) -> tuple[str, ...]:
        return self._keys.algorithms

    @override
    def find(self, kid: str | None, algorithm: str | None = None, /) -> VerificationKey | None:
        """Return the key with this `kid` among those that were fetched."""
        return self._keys.find(kid, algorithm)

    @override
    async def refresh_for(self, kid: str | None, /) -> bool:
        """Fetch because of an unknown `kid`, unless just done; return whether it is there now.

        Raises Unavailable if the last fetch failed: the key may be among those that it would have
        brought.
        """
        if kid is None and len(self._keys):
            return False  # there are keys, and the token should have said which
        if self._running is not None or self._may_fetch():
            await self.refresh()
        if any(kid in (None, key.kid) for key in self._keys):
            return True
        if not self._is_good:
            raise Unavailable(f"{self.source} has given no answer that could be used")
        return False

    def _may_fetch(self) -> bool:
        """Return whether an unknown `kid` may start a fetch now, and begin the cooldown.

        Only such fetches begin it: a key that is published after a regular fetch is found at once,
        and strangers cannot start more than one in a while.
        """
        if self._clock() < self._quiet_until:
            return False
        self._quiet_until = self._clock() + self._fetching.cooldown
        return True

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
                # In a thread: a key takes up to 0.1 ms, and there may be thousands.
                self._keys = self._keys.renewed(await asyncio.to_thread(self._usable, body))
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
        """Parse the keys that verify tokens; the log says which are left out, and why."""
        left_out: list[str] = []
        try:
            keys = usable(read_set(body, self.source), self._parse, self.source, left_out)
        finally:
            for problem in left_out[:MAX_LOGGED]:
                _log_left_out(problem)
            if more := left_out[MAX_LOGGED:]:
                _log_left_out(f"{len(more)} more keys of {self.source}")
        if len(keys) > MAX_KEYS:
            _log_left_out(f"{len(keys) - MAX_KEYS} keys of {self.source}, after {MAX_KEYS} others")
        return keys[:MAX_KEYS]

    def _parse(self, label: str, member: object) -> VerificationKey:
        jwk = jwk_of(label, member)
        if "d" in jwk or "k" in jwk:
            raise KeyProblem(f"{label} is published with its secret part: revoke it")
        return parse_verification_key(label, jwk, self._algorithms)


def _log_left_out(problem: str) -> None:
    _log.warning("jwks_key_left_out detail=%.*r", LOGGED_LENGTH, problem)


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
