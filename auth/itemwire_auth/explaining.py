"""Says what was decided of a token, an item and an action, by which check, in their order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from itemwire_auth.errors import AuthError, InvalidToken, ItemInvalid, RevokedToken, Unauthenticated
from itemwire_auth.policies import Policy, shortfall
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.revocation import Revocations
from itemwire_auth.scopes import ITEM_ID_RULE, Action, is_item_id
from itemwire_auth.tokens.verifier import CheckResult, Verifier

INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Decision:
    """How each check ended, and the reason a client would be given; None if it is let in."""

    checks: tuple[CheckResult, ...]
    reason: str | None

    @property
    def accepted(self) -> bool:
        """Tell whether nothing stands in the way."""
        return self.reason is None

    def report(self) -> dict[str, Any]:
        """Write it as JSON objects, for programs."""
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
    """Decide as at a handshake, for an operator's eyes: the token first, then the rest.

    Without an item only the token is judged; without an action, any that is granted will do. What
    was taken back only a server knows: without `revocations` it is not asked.
    """
    with contextlib.suppress(AuthError):  # it is told below; a key that is new is fetched here
        await verifier.verify_or_fetch(token)
    checks = verifier.explain(token)
    names = _rows(item_id, action, revocations)
    if not all(check.passed for check in checks):
        checks += [CheckResult(name, passed=None) for name in names]
        return Decision(tuple(checks), Unauthenticated.code)
    if not names:
        return Decision(tuple(checks), None)
    try:
        principal = verifier.verify(token)
    except InvalidToken:  # its time came, or its key went, since the line above
        return await explain(verifier, policy, token, item_id, action, revocations=revocations)
    further, reason = await _decide(policy, principal, item_id, action, revocations)
    further += [CheckResult(name, passed=None) for name in names[len(further) :]]
    return Decision((*checks, *further), reason)


def _rows(
    item_id: str | None, action: Action | None, revocations: Revocations | None
) -> tuple[str, ...]:
    """Name what is asked beyond the token."""
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
    """Go on from a good token until something is refused."""
    found: list[CheckResult] = []
    if revocations is not None:
        if revocations.revokes(principal):
            detail = f"the token of {principal.subject!r} was taken back"
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
    """Ask the policy, and whether what it grants is enough."""
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
        # Whether the rights suffice is the last row's affair.
        found.append(CheckResult("policy", passed=True, detail=granted))
        found.append(CheckResult("action", refused is None, str(refused or "")))
    return found, None if refused is None else refused.code
