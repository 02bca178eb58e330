"""Turns a token into a verified principal, or says which check failed.

The table `CHECKS` is the whole of it; `verify` and `explain` walk the same rows. A token that has
passed them is known again for a while by its digest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Protocol

from typing_extensions import override

from itemwire_auth.errors import InvalidToken, UnknownKey
from itemwire_auth.keys.algorithms import VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.principal import Principal, frozen
from itemwire_auth.tokens.checks import CHECKS, Reading, TokenRules, check_key

__all__ = ["CHECKS", "CheckResult", "TokenRules", "TokenVerifier", "Verifier"]

# Counted in characters and not in tokens, for a token's claims take memory as they are long: 10,000
# tokens of the usual 300 characters take 12 MB, and the worst that an issuer could sign takes 80.
MAX_REMEMBERED: Final = 3_000_000

# A JSON parser makes each name anew: 300 bytes a token that is held by an idle socket.
_NAMES: Final = {name: name for name in ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope")}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check ended; `passed` is None if a failure above kept it from being reached."""

    name: str
    passed: bool | None
    detail: str = ""


class Verifier(Protocol):
    """What turns tokens into principals."""

    def verify(self, token: str) -> Principal:
        """Tell whom the token names, or raise InvalidToken with the check that failed."""
        ...

    async def verify_or_fetch(self, token: str) -> Principal:
        """Verify; if only the key is missing, look for it where keys come from, and again."""
        ...

    def explain(self, token: str) -> list[CheckResult]:
        """Tell how each check ends, for the operator's eyes only."""
        ...


class TokenVerifier(Verifier):
    """Verifies tokens; one serves all connections, and what it remembers is bounded."""

    def __init__(
        self,
        keys: KeySource,
        rules: TokenRules,
        clock: Callable[[], float] = time.time,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._verified = _VerifiedTokens(max_remembered)

    @override
    def verify(self, token: str) -> Principal:
        """Tell whom the token names, or raise InvalidToken with the check that failed.

        While a token is remembered, its principal is the same object each time.
        """
        now = self._clock()
        if len(token) > self._rules.max_length:
            return self._examine(token, now).principal  # which refuses it, before it is hashed
        # The digest stands for the token, so that a dump of this memory holds no credential.
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.find(digest)
        if known is not None and self._still_holds(known, now):
            return known.principal
        verified = self._examine(token, now)
        self._verified.keep(digest, verified)
        return verified.principal

    @override
    async def verify_or_fetch(self, token: str) -> Principal:
        """Verify; if only the key is missing, look for it where keys come from, and again."""
        try:
            return self.verify(token)
        except UnknownKey as error:
            if not await self._keys.refresh_for(error.kid):
                raise
        return self.verify(token)

    @override
    def explain(self, token: str) -> list[CheckResult]:
        """Tell how each check ends, for the operator's eyes only."""
        reading = self._begin(token, self._clock())
        results: list[CheckResult] = []
        problem: str | None = None
        for name, check in CHECKS.items():
            if problem:
                results.append(CheckResult(name, passed=None))
            else:
                problem = check(reading)
                results.append(CheckResult(name, not problem, problem or ""))
        return results

    def _examine(self, token: str, now: float) -> _Verified:
        """Put a token through all checks."""
        reading = self._begin(token, now)
        for name, check in CHECKS.items():
            if problem := check(reading):
                if check is check_key:
                    raise UnknownKey(name, problem, reading.kid)
                raise InvalidToken(name, problem)
        principal = Principal(
            issuer=reading.issuer,
            subject=reading.subject,
            rights=reading.rights,
            expires_at=reading.expires_at,
            token_id=reading.token_id,
            claims=_shareable(reading.claims),
            issued_at=reading.issued_at,
        )
        return _Verified(principal, reading.kid, reading.key, now, len(token))

    def _still_holds(self, known: _Verified, now: float) -> bool:
        """Look again at all that can have changed since: the clock, and the keys.

        Where this says no, the checks decide. A check that was passed is passed at any later time,
        but for `expiry`; and a clock that was set back is no later time.
        """
        ago = now - known.principal.expires_at
        return (
            known.at <= now and ago < self._rules.leeway and self._keys.find(known.kid) is known.key
        )

    def _begin(self, token: str, now: float) -> Reading:
        """Start reading a token."""
        return Reading(token, now, self._rules, self._keys)


@dataclass(frozen=True, slots=True)
class _Verified:
    """What a token passed as, the key it named and the one it got, when, and how long it is."""

    principal: Principal
    kid: str | None
    key: VerificationKey
    at: float
    length: int


class _VerifiedTokens:
    """Tokens that have passed, by digest: those of the present round and of the one before.

    A round ends when it is full, and what nobody asked for in a whole round is forgotten. Unlike
    an order of use this needs no lock, for each step is one operation on a dict.
    """

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters // 2  # of one round
        self._characters = 0
        self._present: dict[bytes, _Verified] = {}
        self._before: dict[bytes, _Verified] = {}

    def find(self, digest: bytes) -> _Verified | None:
        """Find what a token passed as."""
        known = self._present.get(digest)
        if known is None and (known := self._before.get(digest)) is not None:
            self.keep(digest, known)
        return known

    def keep(self, digest: bytes, verified: _Verified) -> None:
        """Remember a token; the round that is full makes place."""
        if self._characters + verified.length > self._max_characters:
            self._before, self._present, self._characters = self._present, {}, 0
        self._present[digest] = verified
        self._characters += verified.length


def _shareable(claims: dict[str, object]) -> Mapping[str, object]:
    """Give claims that cannot be changed, for all who present one token have the same ones."""
    return MappingProxyType({_NAMES.get(name, name): frozen(it) for name, it in claims.items()})
