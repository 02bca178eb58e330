"""Checks the claims of a token whose signature holds.

Like every check, each returns what is wrong, or None, and may rely on those above it in `CHECKS`.
"""

from __future__ import annotations

import re
from typing import Final, TypeGuard, cast

from itemwire_auth.rights import ScopeSet
from itemwire_auth.strict_json import parse_object
from itemwire_auth.tokens.parsed_token import ParsedToken, decode, text_or_none

MAX_SUBJECT_LENGTH: Final = 256
LAST_DATE: Final = 9_999_999_999  # ten digits, the year 2286; a date in milliseconds has thirteen

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_claims(token: ParsedToken) -> str | None:
    """Parse the claims."""
    try:
        token.claims = parse_object(decode(token.parts[1]))
    except ValueError as error:
        return f"the payload is refused: {error}"
    return None


def check_subject(token: ParsedToken) -> str | None:
    """Require a name that can be shown, logged and compared."""
    subject = token.claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
        return f"sub is not a string of 1 to {MAX_SUBJECT_LENGTH} characters"
    token.subject = subject
    return "sub holds control characters" if _UNPRINTABLE.search(subject) else None


def check_expiry(token: ParsedToken) -> str | None:
    """Require an expiry that is a date in the future (RFC 7519 section 4.1.4)."""
    expires_at = _date(token.claims.get("exp"))
    if expires_at is None:
        return "exp is not a whole number of seconds"
    token.expires_at = expires_at
    ago = token.now - expires_at
    return f"it expired {ago:.0f} s ago" if ago >= token.rules.leeway else None


def check_not_before(token: ParsedToken) -> str | None:
    """Refuse a token that is not valid yet (RFC 7519 section 4.1.5)."""
    return _too_early(token, "nbf")


def check_issued_at(token: ParsedToken) -> str | None:
    """Refuse a token from the future: one of the two clocks is wrong."""
    token.issued_at = _date(token.claims.get("iat")) or 0
    return _too_early(token, "iat")


def check_lifetime(token: ParsedToken) -> str | None:
    """Refuse tokens that live for 100 years, and expiries that were counted in milliseconds."""
    issued_at = _date(token.claims.get("iat"))
    begin = token.now if issued_at is None else min(issued_at, token.now)
    lifetime, longest = token.expires_at - begin, token.rules.max_lifetime
    return f"it lives {lifetime:.0f} s of at most {longest}" if lifetime > longest else None


def check_issuer(token: ParsedToken) -> str | None:
    """Compare the issuer exactly (a substring match was CVE-2024-53861)."""
    if "iss" in token.claims and not isinstance(token.claims["iss"], str):
        return "iss is not a string"
    wanted = token.rules.issuer
    token.issuer = issuer = text_or_none(token.claims.get("iss"))
    return None if wanted in (None, issuer) else f"iss is {issuer!r} instead of {wanted!r}"


def check_audience(token: ParsedToken) -> str | None:
    """Require this server among the audience, exactly (RFC 7519 section 4.1.3)."""
    wanted = token.rules.audience
    if "aud" not in token.claims:
        return "aud is missing" if wanted else None
    audience = token.claims["aud"]
    members = cast("list[object]", audience) if isinstance(audience, list) else [audience]
    if not _are_strings(members):
        return "aud is neither a string nor a list of strings"
    if not wanted:
        # The same section: a server that is not named in a present aud must refuse the token.
        return f"aud is {audience!r}, but this server is configured with no audience"
    return None if set(wanted) & set(members) else f"aud is {audience!r} instead of {wanted!r}"


def check_binding(token: ParsedToken) -> str | None:
    """Refuse tokens bound to a key of the sender: as bearer tokens they would lose that bond."""
    return "it is bound to its sender by cnf (RFC 7800)" if "cnf" in token.claims else None


def check_token_id(token: ParsedToken) -> str | None:
    """Require that a token id and a session, where present, are text that can be revoked."""
    for name in ("jti", "sid"):
        if name in token.claims and not isinstance(token.claims[name], str):
            return f"{name} is not a string"
    token.token_id = text_or_none(token.claims.get("jti"))
    return None


def check_rights(token: ParsedToken) -> str | None:
    """Compile the rights; a claim of a wrong type is refused, never read as no restriction."""
    scope, items = token.claims.get("scope", ""), token.claims.get("items", {})
    if not isinstance(scope, str):
        return "scope is not a string"
    if not _are_lists_of_strings(items):
        return "items is not an object of lists of strings"
    token.rights = ScopeSet.of_claims(scope, items)
    return None


def _too_early(token: ParsedToken, name: str) -> str | None:
    """Return what is wrong with a date that, where present, must not be in the future."""
    if name not in token.claims:
        return None
    date = _date(token.claims[name])
    if date is None:
        return f"{name} is not a whole number of seconds"
    ahead = date - token.now
    return f"{name} is {ahead:.0f} s ahead" if ahead > token.rules.leeway else None


def _date(value: object) -> int | None:
    """Return a date, or None: True is an int to Python, and 10**400 overflows a timer."""
    return value if type(value) is int and 0 <= value <= LAST_DATE else None


def _are_strings(value: object) -> TypeGuard[list[str]]:
    """Return whether a value is a list of strings."""
    return isinstance(value, list) and all(
        isinstance(member, str) for member in cast("list[object]", value)
    )


def _are_lists_of_strings(value: object) -> TypeGuard[dict[str, list[str]]]:
    """Return whether a value is an object whose members are lists of strings."""
    return isinstance(value, dict) and all(
        map(_are_strings, cast("dict[str, object]", value).values())
    )
