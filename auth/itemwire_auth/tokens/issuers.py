"""Verifies the tokens of several issuers, each with its own keys and by its own rules.

Which issuer a token claims is read before its signature is verified, and only chooses the one
verifier that is asked; that one has the keys of this issuer and no other, and refuses a token
whose verified `iss` is not exactly its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from typing_extensions import override

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.principal import Principal
from itemwire_auth.tokens.checks import (
    CHECKS,
    Reading,
    TokenRules,
    check_claims,
    check_form,
    check_size,
)
from itemwire_auth.tokens.verifier import MAX_REMEMBERED, CheckResult, TokenVerifier, Verifier

NO_KEYS: Final[KeySource] = StaticKeys([])

# What must hold before `iss` can be read, as in the table of checks.
PEEK: Final[dict[str, Callable[[Reading], str | None]]] = {
    "size": check_size,
    "form": check_form,
    "claims": check_claims,
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose signature counts for one `iss`, and whom its tokens must be for."""

    keys: KeySource
    audience: tuple[str, ...] = ()


class IssuersVerifier(Verifier):
    """Verifies each token as its issuer's; issuers are told apart by the exact text of `iss`."""

    def __init__(
        self,
        issuers: Mapping[str, Issuer],
        rules: TokenRules,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        share = MAX_REMEMBERED // max(1, len(issuers))
        self._verifiers = {
            name: TokenVerifier(
                issuer.keys, replace(rules, issuer=name, audience=issuer.audience), clock, share
            )
            for name, issuer in issuers.items()
        }

    @override
    def verify(self, token: str) -> Principal:
        """Tell whom the token names, or raise InvalidToken with the check that failed."""
        return self._verifier_for(token).verify(token)

    @override
    async def verify_or_fetch(self, token: str) -> Principal:
        """Verify; if only the key is missing, ask the token's issuer for it, and again."""
        return await self._verifier_for(token).verify_or_fetch(token)

    @override
    def explain(self, token: str) -> list[CheckResult]:
        """Tell how each check ends, for the operator's eyes only."""
        try:
            verifier = self._verifier_for(token)
        except InvalidToken as error:
            return _explained(error)
        return verifier.explain(token)

    def _verifier_for(self, token: str) -> TokenVerifier:
        """Choose by what the token claims; nothing of it is believed yet."""
        reading = Reading(token, 0, self._rules, NO_KEYS)
        for name, check in PEEK.items():
            if problem := check(reading):
                raise InvalidToken(name, problem)
        issuer = reading.claims.get("iss")
        verifier = self._verifiers.get(issuer) if isinstance(issuer, str) else None
        if verifier is None:
            raise InvalidToken("issuer", f"iss is {issuer!r}, and no issuer has that name")
        return verifier


def _explained(error: InvalidToken) -> list[CheckResult]:
    """Write a refusal that came before the table of checks as rows of that table."""
    passed = list(PEEK)[: list(PEEK).index(error.check)] if error.check in PEEK else list(PEEK)
    return [
        CheckResult(name, passed=False, detail=str(error))
        if name == error.check
        else CheckResult(name, passed=True if name in passed else None)
        for name in CHECKS
    ]
