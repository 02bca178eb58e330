"""Verifies the tokens of several issuers, each with its own keys and by its own rules.

The issuer that a token claims is read before its signature is verified, and only selects the one
verifier that is asked. That verifier has the keys of this issuer and no other, and refuses a token
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
from itemwire_auth.tokens.checks import CHECKS, check_form, check_size
from itemwire_auth.tokens.claims import check_claims
from itemwire_auth.tokens.parsed_token import ParsedToken, TokenRules
from itemwire_auth.tokens.verifier import MAX_REMEMBERED, CheckResult, TokenVerifier, Verifier

NO_KEYS: Final[KeySource] = StaticKeys([])

# What must hold before `iss` can be read: rows of the table of checks.
CHECKS_BEFORE_ISSUER: Final[dict[str, Callable[[ParsedToken], str | None]]] = {
    "size": check_size,
    "form": check_form,
    "claims": check_claims,
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """The keys that sign for one `iss`, and the audience or client its tokens must name."""

    keys: KeySource
    audience: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()


class IssuersVerifier(Verifier):
    """Verifies each token as one of its issuer, selected by the exact text of `iss`."""

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
                issuer.keys,
                replace(rules, issuer=name, audience=issuer.audience, client_ids=issuer.client_ids),
                clock,
                share,
            )
            for name, issuer in issuers.items()
        }

    @property
    @override
    def has_keys(self) -> bool:
        """Return whether there is a key of any issuer: only its tokens need it."""
        return any(verifier.has_keys for verifier in self._verifiers.values())

    @property
    @override
    def lacks_keys(self) -> bool:
        """Return whether there is an issuer without a key: its tokens are refused for now."""
        return not all(verifier.has_keys for verifier in self._verifiers.values())

    @override
    def verify(self, token: str) -> Principal:
        """Return whom the token names, or raise InvalidToken with the check that failed."""
        return self._verifier_for(token).verify(token)

    @override
    async def verify_or_fetch(self, token: str) -> Principal:
        """Verify; if only the key is unknown, refresh the issuer's keys and verify again."""
        return await self._verifier_for(token).verify_or_fetch(token)

    @override
    def explain(self, token: str) -> list[CheckResult]:
        """Return how each check ends, for an operator's eyes only."""
        try:
            verifier = self._verifier_for(token)
        except InvalidToken as error:
            return _explained(error)
        return verifier.explain(token)

    def _verifier_for(self, token: str) -> TokenVerifier:
        """Return the verifier of the issuer that the token claims; nothing is trusted yet."""
        parsed = ParsedToken(token, 0, self._rules, NO_KEYS)
        for name, check in CHECKS_BEFORE_ISSUER.items():
            if problem := check(parsed):
                raise InvalidToken(name, problem)
        issuer = parsed.claims.get("iss")
        verifier = self._verifiers.get(issuer) if isinstance(issuer, str) else None
        if verifier is None:
            raise InvalidToken("issuer", f"iss is {issuer!r}, and no issuer has that name")
        return verifier


def _explained(error: InvalidToken) -> list[CheckResult]:
    """Return a refusal from before the table of checks as rows of that table."""
    names = list(CHECKS_BEFORE_ISSUER)
    passed = names[: names.index(error.check)] if error.check in names else names
    return [
        CheckResult(name, passed=False, detail=str(error))
        if name == error.check
        else CheckResult(name, passed=True if name in passed else None)
        for name in CHECKS
    ]
