"""Turns a token into a verified principal, or says which check failed.

The table `CHECKS` is the whole of it; `verify` and `explain` walk the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from auth.checks import CHECKS, KeySource, Reading, TokenRules
from auth.errors import InvalidToken
from auth.principal import Principal

__all__ = ["CHECKS", "CheckResult", "TokenRules", "TokenVerifier"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check ended; `passed` is None if a failure above kept it from being reached."""

    name: str
    passed: bool | None
    detail: str = ""


class TokenVerifier:
    """Verifies tokens; holds nothing that changes, so one serves all connections."""

    def __init__(
        self, keys: KeySource, rules: TokenRules, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock

    def verify(self, token: str) -> Principal:
        """Tell whom the token names, or raise InvalidToken with the check that failed."""
        reading = self._begin(token)
        for name, check in CHECKS.items():
            if problem := check(reading):
                raise InvalidToken(name, problem)
        return Principal(
            issuer=reading.issuer,
            subject=reading.subject,
            rights=reading.rights,
            expires_at=reading.expires_at,
            token_id=reading.token_id,
            claims=MappingProxyType(reading.claims),
        )

    def explain(self, token: str) -> list[CheckResult]:
        """Tell how each check ends, for the operator's eyes only."""
        reading = self._begin(token)
        results: list[CheckResult] = []
        problem: str | None = None
        for name, check in CHECKS.items():
            if problem:
                results.append(CheckResult(name, passed=None))
            else:
                problem = check(reading)
                results.append(CheckResult(name, not problem, problem or ""))
        return results

    def _begin(self, token: str) -> Reading:
        """Start reading a token."""
        return Reading(token, self._clock(), self._rules, self._keys)
