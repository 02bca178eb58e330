"""Attacks with bad tokens: every row of `BAD_TOKENS`, in the route's first source."""

from __future__ import annotations

from typing import Final

from itemwire.testing.attacks.credentials import PLACES
from itemwire.testing.model import Attack, Fault
from itemwire.testing.routes import Place
from itemwire_auth.testing import BAD_TOKENS, Severity, needs_of, severity_of

# Tokens that a header cannot hold.
ONLY_IN_QUERY: Final = frozenset(
    {
        "not_ascii",
        "fullwidth_digits",
        "lone_surrogate_in_token",
        "nul",
        "line_break",
        "space_before",
        "bearer_before",
        "quoted",
        "json_serialisation",
    }
)
TOO_LARGE: Final = frozenset({"oversized", "oversized_by_far"})
_WHY: Final = "RFC 8725 and the CVEs it answers"


def _row(name: str) -> Attack:
    return Attack(
        f"token_{name}",
        Fault.CREDENTIAL,
        lambda endpoint: endpoint.with_token(
            endpoint.bad(name), "query" if name in ONLY_IN_QUERY else None
        ),
        needs=needs_of(name) | ({"query"} if name in ONLY_IN_QUERY else set[str]()),
        why=_WHY,
        severity=severity_of(name),
    )


def _large(place: Place, name: str) -> Attack:
    return Attack(
        f"{place}_{name}",
        Fault.SIZE,
        lambda endpoint: endpoint.with_token(endpoint.bad(name), place),
        lambda endpoint: endpoint.good(place),
        frozenset({place}) | needs_of(name),
        "a size limit comes before any parsing, and is reported: 414, 431 or a refusal",
        Severity.RULE,
    )


TOKENS: Final = (
    *(_row(name) for name in BAD_TOKENS if name not in TOO_LARGE),
    *(_large(place, name) for place in PLACES for name in sorted(TOO_LARGE)),
)
