"""Checks a token in a fixed order: CHECKS is the table of all checks.

Each check returns what is wrong, or None, and may rely on those above it in the table. What it
returns is for operators: it may show what a token claims, never the token. Here are the checks up
to the signature; those of the claims are in `claims`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from itemwire_auth.strict_json import parse_object
from itemwire_auth.tokens.claims import (
    check_audience,
    check_binding,
    check_claims,
    check_expiry,
    check_issued_at,
    check_issuer,
    check_lifetime,
    check_not_before,
    check_rights,
    check_subject,
)
from itemwire_auth.tokens.parsed_token import ParsedToken, decode, media_type, text_or_none

# A token is three parts of canonical base64url: RFC 4648 section 3.5 wants the bits after the last
# byte to be zero, which leaves few characters for the last place. Without this one token would
# have many spellings, and a list of revoked spellings would be incomplete.
_PART: Final = r"((?:[\w-]{4})*+(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?)"
_FORM: Final = re.compile(rf"{_PART}\.{_PART}\.{_PART}", re.ASCII)

_UNSUPPORTED_HEADERS: Final = ("crit", "b64", "zip", "cty")


def check_size(token: ParsedToken) -> str | None:
    """Refuse long tokens before spending anything on them."""
    length, longest = len(token.text), token.rules.max_length
    return f"it has {length} characters of at most {longest}" if length > longest else None


def check_form(token: ParsedToken) -> str | None:
    """Accept only the compact serialisation (RFC 7515 section 7.1), without padding."""
    match = _FORM.fullmatch(token.text)
    if match is None or not all(match.groups()):
        return "it is not three parts of canonical base64url with two dots"
    token.parts = match.groups()
    return None


def check_header(token: ParsedToken) -> str | None:
    """Parse the header; keys and addresses in it are never used (CVE-2018-0114)."""
    try:
        token.header = parse_object(decode(token.parts[0]))
    except ValueError as error:
        return f"the header is refused: {error}"
    return None


def check_critical(token: ParsedToken) -> str | None:
    """Refuse what changes a token's meaning (RFC 7515 section 4.1.11, RFC 7797)."""
    unsupported = [name for name in _UNSUPPORTED_HEADERS if name in token.header]
    return f"the header has {', '.join(unsupported)}" if unsupported else None


def check_type(token: ParsedToken) -> str | None:
    """Refuse tokens made for another use (RFC 8725 section 3.11): id, refresh, logout, dpop."""
    typ = token.header.get("typ")
    if "typ" in token.header and not isinstance(typ, str):
        return "typ is not a string"
    if media_type(text_or_none(typ)) not in token.rules.accepted_types:
        return f"typ is {typ!r}" if typ else "typ is missing"
    return None


def check_key(token: ParsedToken) -> str | None:
    """Find the key by its exact name in memory: `kid` reaches no file, database or network."""
    kid = token.header.get("kid")
    if "kid" in token.header and not isinstance(kid, str):
        return "kid is not a string"
    token.kid = text_or_none(kid)
    key = token.keys.find(token.kid, text_or_none(token.header.get("alg")))
    if key is None:
        return f"no key is named {kid!r}" if kid is not None else "it names none of several keys"
    token.key = key
    return None


def check_algorithm(token: ParsedToken) -> str | None:
    """Compare only: the key decides the algorithm (RFC 8725 section 3.1), never the token."""
    named, own = token.header.get("alg"), token.key.algorithm
    return f"alg is {named!r}, the key is for {own}" if named != own else None


def check_signature(token: ParsedToken) -> str | None:
    """Verify the signature over the very characters that the other checks read."""
    header, payload, signature = token.parts
    message = f"{header}.{payload}".encode("ascii")
    holds = token.key.verifies(message, decode(signature))
    return None if holds else "it was not made with the key"


CHECKS: Final[dict[str, Callable[[ParsedToken], str | None]]] = {
    "size": check_size,
    "form": check_form,
    "header": check_header,
    "critical": check_critical,
    "type": check_type,
    "key": check_key,
    "algorithm": check_algorithm,
    "signature": check_signature,
    "claims": check_claims,
    "subject": check_subject,
    "expiry": check_expiry,
    "not_before": check_not_before,
    "issued_at": check_issued_at,
    "lifetime": check_lifetime,
    "issuer": check_issuer,
    "audience": check_audience,
    "binding": check_binding,
    "rights": check_rights,
}
