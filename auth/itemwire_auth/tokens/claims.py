"""Checks the claims of a token whose signature holds.

Like every check, each returns what is wrong, or None, and may rely on those above it in `CHECKS`.
"""

from __future__ import annotations

import re
from typing import Final, cast

from itemwire_auth.principal import identifier
from itemwire_auth.strict_json import parse_object
from itemwire_auth.tokens.parsed_token import ParsedToken, decode, text_or_none
from itemwire_auth.tokens.rights_claims import are_strings, find_claim

MAX_SUBJECT_LENGTH: Final = 256
LAST_DATE: Final = 9_999_999_999  # ten digits, the year 2286; a date in milliseconds has thirteen
CLOCK_DIFFERENCE: Final = 5  # seconds; Firebase dates tokens up to a second ahead of most clocks

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
    name = token.rules.subject_claim
    subject = identifier(find_claim(token.claims, name))
    if subject is None or not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
        return f"{name} is not a string of 1 to {MAX_SUBJECT_LENGTH} characters"
    token.subject = subject
    return f"{name} holds control characters" if _UNPRINTABLE.search(subject) else None


def check_expiry(token: ParsedToken) -> str | None:
    """Require an expiry that is a date in the future (RFC 7519 section 4.1.4)."""
    expires_at = _date(token.claims.get("exp"))
    if expires_at is None:
        return "exp is not a number of seconds"
    token.expires_at = int(expires_at)
    ago = token.now - token.expires_at
    return f"it expired {ago:.0f} s ago" if ago >= token.rules.leeway else None


def check_not_before(token: ParsedToken) -> str | None:
    """Refuse a token that is not valid yet (RFC 7519 section 4.1.5)."""
    return _too_early(token, "nbf", token.rules.leeway)


def check_issued_at(token: ParsedToken) -> str | None:
    """Refuse a token from the future: one of the two clocks is wrong by more than clocks are."""
    token.issued_at = int(_date(token.claims.get("iat")) or 0)
    return _too_early(token, "iat", max(token.rules.leeway, CLOCK_DIFFERENCE))


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
        return _check_client(token)
    audience = token.claims["aud"]
    members = cast("list[object]", audience) if isinstance(audience, list) else [audience]
    if not are_strings(members):
        return "aud is neither a string nor a list of strings"
    if not wanted:
        # The same section: a server that is not named in a present aud must refuse the token.
        return f"aud is {audience!r}, but this server is configured with no audience"
    return None if set(wanted) & set(members) else f"aud is {audience!r} instead of {wanted!r}"


def check_binding(token: ParsedToken) -> str | None:
    """Refuse tokens bound to a key of the sender: as bearer tokens they would lose that bond."""
    return "it is bound to its sender by cnf (RFC 7800)" if "cnf" in token.claims else None


def check_rights(token: ParsedToken) -> None:
    """Compile the rights; whatever the claims hold, they can only add some."""
    token.rights = token.rules.rights.rights_of(token.claims)


def _check_client(token: ParsedToken) -> str | None:
    """Require one of our clients in a token without `aud`: Cognito's access tokens have none."""
    wanted = token.rules.client_ids
    if not wanted:
        return "aud is missing" if token.rules.audience else None
    client = token.claims.get("client_id")
    return None if client in wanted else f"client_id is {client!r} instead of {wanted!r}"


def _too_early(token: ParsedToken, name: str, tolerance: float) -> str | None:
    """Return what is wrong with a date that, where present, must not be in the future."""
    if name not in token.claims:
        return None
    date = _date(token.claims[name])
    if date is None:
        return f"{name} is not a number of seconds"
    ahead = date - token.now
    return f"{name} is {ahead:.0f} s ahead" if ahead > tolerance else None


def _date(value: object) -> float | None:
    """Return a date, which may have a fraction (NumericDate, RFC 7519 section 2), or None.

    True is an int to Python, and 10**400 overflows a timer.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= LAST_DATE else None
