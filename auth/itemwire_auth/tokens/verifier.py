"""Turns a token into a verified principal, or says which check failed.

All that is checked is in the table `CHECKS`; `verify` and `explain` run the same rows. A token
that has passed is remembered by its digest for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NoReturn, Protocol

from typing_extensions import override

from itemwire_auth.errors import InvalidToken, Unavailable, UnknownKey
from itemwire_auth.keys.algorithms import VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.principal import Principal, frozen, identifier
from itemwire_auth.tokens.checks import CHECKS, check_key
from itemwire_auth.tokens.parsed_token import ParsedToken, TokenRules
from itemwire_auth.tokens.passed_checks import describe_found

# Counted in characters and not in tokens, because a long token takes more memory: 10,000 tokens of
# the usual 300 characters take 12 MB, and the worst that an issuer could sign takes 80.
MAX_REMEMBERED: Final = 3_000_000

EARLIEST: Final = 31_536_000  # 1971: before, a clock runs that was never set
WRONG_CLOCK: Final = "this machine's clock is wrong: it says 1970"

# A JSON parser makes each name anew: 300 bytes for each token that an idle socket holds.
_NAMES: Final = {name: name for name in ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope")}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check ended; `passed` is None if an earlier failure kept it from running."""

    name: str
    passed: bool | None
    detail: str = ""


class Verifier(Protocol):
    """What turns tokens into principals."""

    @property
    def has_keys(self) -> bool:
        """Return whether the tokens of any issuer can be judged."""
        return True

    @property
    def lacks_keys(self) -> bool:
        """Return whether the tokens of some issuer cannot be judged."""
        return not self.has_keys

    def verify(self, token: str) -> Principal:
        """Return whom the token names, or raise InvalidToken with the check that failed."""
        ...

    async def verify_or_fetch(self, token: str) -> Principal:
        """Verify; if only the key is unknown, refresh the source of keys and verify again.

        Raises Unavailable if that source gives no answer: the token may be good.
        """
        ...

    def explain(self, token: str) -> list[CheckResult]:
        """Return how each check ends, for an operator's eyes only."""
        ...


class NoIssuer(Verifier):
    """Refuses every token, in an application that accepts none."""

    @override
    def verify(self, token: str) -> NoReturn:
        raise InvalidToken("issuer", "this application accepts no tokens")

    @override
    async def verify_or_fetch(self, token: str) -> NoReturn:
        self.verify(token)

    @override
    def explain(self, token: str) -> list[CheckResult]:
        return [CheckResult("issuer", passed=False, detail="this application accepts no tokens")]


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

    @property
    @override
    def has_keys(self) -> bool:
        """Return whether tokens can be judged: there is a key, and the clock was set."""
        return self._keys.has_keys and self._clock() >= EARLIEST

    @override
    def verify(self, token: str) -> Principal:
        """Return whom the token names, or raise InvalidToken with the check that failed.

        While a token is remembered, its principal is the same object each time.
        """
        now = self._clock()
        if len(token) > self._rules.max_length:
            return self._run_checks(token, now).principal  # which refuses it before it is hashed
        # The digest stands for the token, so that a dump of this memory holds no credential.
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.find(digest)
        if known is not None and self._still_holds(known, now):
            return known.principal
        verified = self._run_checks(token, now)
        self._verified.add(digest, verified)
        return verified.principal

    @override
    async def verify_or_fetch(self, token: str) -> Principal:
        """Verify; if only the key is unknown, refresh the source of keys and verify again.

        Raises Unavailable, too, where this machine's clock is wrong for sure: every good token
        would be of the future.
        """
        if self._clock() < EARLIEST:
            raise Unavailable(WRONG_CLOCK)
        try:
            return self.verify(token)
        except UnknownKey as error:
            if not await self._keys.refresh_for(error.kid):
                raise
        return self.verify(token)

    @override
    def explain(self, token: str) -> list[CheckResult]:
        """Return how each check ends, for an operator's eyes only."""
        parsed = self._begin(token, self._clock())
        results: list[CheckResult] = []
        problem: str | None = None
        for name, check in CHECKS.items():
            if problem:
                results.append(CheckResult(name, passed=None))
            else:
                problem = check(parsed)
                detail = problem or describe_found(name, parsed)
                results.append(CheckResult(name, not problem, detail))
        return results

    def _run_checks(self, token: str, now: float) -> _Verified:
        """Run all checks on a token, or raise InvalidToken."""
        parsed = self._begin(token, now)
        for name, check in CHECKS.items():
            if problem := check(parsed):
                if check is check_key:
                    raise UnknownKey(name, problem, parsed.kid)
                raise InvalidToken(name, problem)
        principal = Principal(
            issuer=parsed.issuer,
            subject=parsed.subject,
            rights=parsed.rights,
            expires_at=parsed.expires_at,
            token_id=identifier(parsed.claims.get("jti")),
            claims=_shareable(parsed.claims),
            issued_at=parsed.issued_at,
        )
        return _Verified(principal, parsed.kid, parsed.key, now, len(token))

    def _still_holds(self, known: _Verified, now: float) -> bool:
        """Return whether neither the clock nor the keys can have changed the outcome.

        If not, the checks decide. A check that was passed is passed at any later time, except
        `expiry`; and a time before it, by a clock that was set back, is not a later time.
        """
        ago = now - known.principal.expires_at
        key = self._keys.find(known.kid, known.key.algorithm)
        return known.at <= now and ago < self._rules.leeway and key is known.key

    def _begin(self, token: str, now: float) -> ParsedToken:
        return ParsedToken(token, now, self._rules, self._keys)


@dataclass(frozen=True, slots=True)
class _Verified:
    """The outcome for a token: who, the key it named and the one used, when, and its length."""

    principal: Principal
    kid: str | None
    key: VerificationKey
    at: float
    length: int


class _VerifiedTokens:
    """Tokens that have passed, by digest, in two generations.

    A full generation becomes the previous one, and the one before it is forgotten with all tokens
    that nobody presented since. Unlike an order of use this needs no lock, because each step is one
    operation on a dict.
    """

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters // 2  # of one generation
        self._characters = 0
        self._present: dict[bytes, _Verified] = {}
        self._previous: dict[bytes, _Verified] = {}

    def find(self, digest: bytes) -> _Verified | None:
        """Return the outcome for a token, which then lives as long as a new one."""
        known = self._present.get(digest)
        if known is None and (known := self._previous.get(digest)) is not None:
            self.add(digest, known)
        return known

    def add(self, digest: bytes, verified: _Verified) -> None:
        """Remember a token; a full generation gives way."""
        if self._characters + verified.length > self._max_characters:
            self._previous, self._present, self._characters = self._present, {}, 0
        self._present[digest] = verified
        self._characters += verified.length


def _shareable(claims: dict[str, object]) -> Mapping[str, object]:
    """Return read-only claims: everybody who presents one token shares them."""
    return MappingProxyType({_NAMES.get(name, name): frozen(it) for name, it in claims.items()})
