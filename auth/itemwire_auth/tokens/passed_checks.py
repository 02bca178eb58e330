"""Says what a check has found in a token that passed it, for an operator's eyes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from itemwire_auth.tokens.parsed_token import ParsedToken


def describe_key(token: ParsedToken) -> str:
    """Return which key the token means."""
    named = "the key without a name" if token.key.kid is None else f"the key {token.key.kid!r}"
    return f"{named} is for {token.key.algorithm}"


def describe_issuer(token: ParsedToken) -> str:
    """Return what `iss` was compared with."""
    found = f"iss is {token.issuer!r}"
    return found if token.rules.issuer is not None else f"{found}; ITEMWIRE_ISSUER asks for none"


def describe_audience(token: ParsedToken) -> str:
    """Return which claim names this server."""
    if "aud" in token.claims:
        return f"aud is {token.claims['aud']!r}"
    if token.rules.client_ids:
        return f"client_id is {token.claims['client_id']!r}"
    return "aud is absent; ITEMWIRE_AUDIENCE asks for none"


FOUND: Final[dict[str, Callable[[ParsedToken], str]]] = {
    "type": lambda token: f"typ is {token.header.get('typ')!r}",
    "key": describe_key,
    "subject": lambda token: f"{token.rules.subject_claim} is {token.subject!r}",
    "expiry": lambda token: f"it expires in {token.expires_at - token.now:.0f} s",
    "issuer": describe_issuer,
    "audience": describe_audience,
    "rights": lambda token: token.rules.rights.explain(token.claims),
}


def describe_found(check: str, token: ParsedToken) -> str:
    """Return what a passed check has found; the empty text where that is plain."""
    return FOUND[check](token) if check in FOUND else ""
