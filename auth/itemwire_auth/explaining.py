"""Explains a decision about a token, an item and an action, check by check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from itemwire_auth.errors import (
    AuthError,
    InvalidToken,
    ItemInvalid,
    NotNow,
    RevokedToken,
    Unauthenticated,
)
from itemwire_auth.policies import Policy, shortfall
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.revocation import Revocations
from itemwire_auth.scopes import ITEM_ID_RULE, Action, is_item_id
from itemwire_auth.tokens.verifier import CheckResult, Verifier

INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Decision:
    """How each check ended, and the code a client would be told; None if it is accepted."""

    checks: tuple[CheckResult, ...]
    reason: str | None

    @property
    def accepted(self) -> bool:
        """Return whether the caller is accepted."""
        return self.reason is None

    def report(self) -> dict[str, Any]:
        """Return the decision as JSON objects: `accepted`, `reason` and `checks`."""
        checks = [{"check": o.name, "passed": o.passed, "detail": o.detail} for o in self.checks]
        return {"accepted": self.accepted, "reason": self.reason, "checks": checks}


async def explain(
    verifier: Verifier,
    policy: Policy,
    token: str,
    item_id: str | None = None,
    action: Action | None = None,
    *,
    revocations: Revocations | None = None,
) -> Decision:
    """Return what a handshake would decide, for an operator's eyes only.

    The token is judged first, then its rights: without an item only the token, without an
    action any granted action will do. Only a server knows what was revoked: without `revocations`
    that is not checked.
    """
    unjudged: NotNow | None = None
    try:
        await verifier.verify_or_fetch(token)  # which fetches a key that is new
    except NotNow as error:
        unjudged = error
    except AuthError:
        pass  # explained below
    checks = verifier.explain(token)
    names = _rows(item_id, action, revocations)
    if not all(check.passed for check in checks):
        checks += [CheckResult(name, passed=None) for name in names]
        if unjudged is None:
            return Decision(tuple(checks), Unauthenticated.code)
        return Decision(tuple(_with_cause(checks, unjudged)), unjudged.code)
    if not names:
        return Decision(tuple(checks), None)
    try:
        principal = verifier.verify(token)
    except InvalidToken:  # it expired, or its key was removed, since the line above
        return await explain(verifier, policy, token, item_id, action, revocations=revocations)
    further, reason = await _decide(policy, principal, item_id, action, revocations)
    further += [CheckResult(name, passed=None) for name in names[len(further) :]]
    return Decision((*checks, *further), reason)


def _with_cause(checks: Sequence[CheckResult], cause: NotNow) -> Iterator[CheckResult]:
    """Yield the checks, and with the one that failed why it could not be judged."""
    for check in checks:
        detail = f"{check.detail}: {cause}" if check.passed is False else check.detail
        yield replace(check, detail=detail)


def _rows(
    item_id: str | None, action: Action | None, revocations: Revocations | None
) -> tuple[str, ...]:
    """Return the names of the checks after those of the token."""
    rows = () if revocations is None else ("revoked",)
    if item_id is None:
        return rows
    return (*rows, "item", "policy", "action") if action else (*rows, "item", "policy")


async def _decide(
    policy: Policy,
    principal: Principal,
    item_id: str | None,
    action: Action | None,
    revocations: Revocations | None,
) -> tuple[list[CheckResult], str | None]:
    """Run the checks after those of the token, up to the first that refuses."""
    found: list[CheckResult] = []
    if revocations is not None:
        if revocations.revokes(principal):
            detail = f"the token of {principal.subject!r} was revoked"
            return [CheckResult("revoked", passed=False, detail=detail)], RevokedToken.code
        found.append(CheckResult("revoked", passed=True))
    if item_id is None:
        return found, None
    if not is_item_id(item_id):
        failed = CheckResult("item", passed=False, detail=ITEM_ID_RULE)
        return [*found, failed], ItemInvalid.code
    found.append(CheckResult("item", passed=True))
    further, reason = await _decide_rights(policy, principal, item_id, action)
    return found + further, reason


async def _decide_rights(
    policy: Policy, principal: Principal, item_id: str, action: Action | None
) -> tuple[list[CheckResult], str | None]:
    """Ask the policy, and compare its grant with the action."""
    found: list[CheckResult] = []
    try:
        grant = Grant(principal, item_id, await policy.authorize(principal, item_id))
    except AuthError as error:
        return [*found, CheckResult("policy", passed=False, detail=str(error))], error.code
    except Exception as error:  # noqa: BLE001 - an application's own policy may raise anything
        detail = f"it failed: {type(error).__name__}: {error}"
        return [*found, CheckResult("policy", passed=False, detail=detail)], INTERNAL
    refused = shortfall(grant, [] if action is None else [action])
    granted = f"{type(policy).__name__}: {', '.join(sorted(grant.can)) or 'nothing'}"
    if action is None:
        found.append(CheckResult("policy", refused is None, granted))
    else:
        # The policy passed; whether it grants the action is the next row.
        found.append(CheckResult("policy", passed=True, detail=granted))
        found.append(CheckResult("action", refused is None, str(refused or "")))
    return found, None if refused is None else refused.code
