"""Attacks on tokens: every row of `BAD_TOKENS`, where the route looks first (RFC 8725)."""

from __future__ import annotations

from typing import Final

from itemwire.testing.attacks.credentials import PLACES
from itemwire.testing.model import Attack, Fault
from itemwire.testing.routes import Place
from itemwire_auth.testing import BAD_TOKENS

# What cannot be written in a header as it is.
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
        lambda door: door.with_token(
            BAD_TOKENS[name](door.route.tokens), "query" if name in ONLY_IN_QUERY else None
        ),
        needs=frozenset({"query"} if name in ONLY_IN_QUERY else ()),
        why=_WHY,
    )


def _large(place: Place, name: str) -> Attack:
    return Attack(
        f"{place}_{name}",
        Fault.SIZE,
        lambda door: door.with_token(BAD_TOKENS[name](door.route.tokens), place),
        lambda door: door.good(place),
        frozenset({place}),
        "a size limit comes before any parsing, and is told: 414, 431 or a refusal, never silence",
    )


TOKENS: Final = (
    *(_row(name) for name in BAD_TOKENS if name not in TOO_LARGE),
    *(_large(place, name) for place in PLACES for name in sorted(TOO_LARGE)),
)
