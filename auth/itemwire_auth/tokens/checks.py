"""Checks a token, one question after the other.

Each check tells what is wrong, or None, and may rely on those above it in `CHECKS`. What it says
is for operators: it may show what a token claims, never the token.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from itemwire_auth.keys.algorithms import VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.rights import ScopeSet
from itemwire_auth.strict_json import parse_object

MAX_LEEWAY: Final = 60
MAX_SUBJECT_LENGTH: Final = 256
LAST_DATE: Final = 9_999_999_999  # ten digits, the year 2286; a date in milliseconds has thirteen

# A token is three parts of canonical base64url: RFC 4648 section 3.5 wants the bits after the last
# byte to be zero, which leaves few characters for the last place. Without this one token would
# have many spellings, and a list of revoked spellings would not hold.
_PART: Final = r"((?:[\w-]{4})*+(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?)"
_FORM: Final = re.compile(rf"{_PART}\.{_PART}\.{_PART}", re.ASCII)

_DEFAULT_TYPES: Final = frozenset({None, "jwt", "at+jwt"})
_UNSUPPORTED_HEADERS: Final = ("crit", "b64", "zip", "cty")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must be like on this server; lengths in characters, times in seconds."""

    issuer: str | None = None
    audience: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    leeway: float = 0
    max_lifetime: int = 30 * 24 * 3600
    max_length: int = 8192
    accepted_types: frozenset[str | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway must be 0 to {MAX_LEEWAY} s; for more, set the clocks right")
        accepted = frozenset(map(_media_type, self.types)) if self.types else _DEFAULT_TYPES
        object.__setattr__(self, "accepted_types", accepted)


@dataclass(slots=True)
class Reading:
    """A token on its way through the checks; what one learned is there for those below."""

    token: str = field(repr=False)
    now: float
    rules: TokenRules
    keys: KeySource
    parts: tuple[str, ...] = field(init=False, repr=False)
    header: dict[str, object] = field(init=False)
    kid: str | None = field(init=False, default=None)
    key: VerificationKey = field(init=False)
    claims: dict[str, object] = field(init=False)
    subject: str = field(init=False)
    expires_at: int = field(init=False)
    issued_at: int = field(init=False)
    issuer: str | None = field(init=False)
    token_id: str | None = field(init=False)
    rights: ScopeSet = field(init=False)


def check_size(reading: Reading) -> str | None:
    """Refuse long tokens before spending anything on them."""
    length, longest = len(reading.token), reading.rules.max_length
    return f"it has {length} characters of at most {longest}" if length > longest else None


def check_form(reading: Reading) -> str | None:
    """Accept only the compact serialisation (RFC 7515 section 7.1), without padding."""
    match = _FORM.fullmatch(reading.token)
    if match is None or not all(match.groups()):
        return "it is not three parts of canonical base64url with two dots"
    reading.parts = match.groups()
    return None


def check_header(reading: Reading) -> str | None:
    """Parse the header; keys and addresses in it are never looked at (CVE-2018-0114)."""
    try:
        reading.header = parse_object(_decode(reading.parts[0]))
    except ValueError as error:
        return f"the header is refused: {error}"
    return None


def check_critical(reading: Reading) -> str | None:
    """Refuse what changes a token's meaning (RFC 7515 section 4.1.11, RFC 7797)."""
    unsupported = [name for name in _UNSUPPORTED_HEADERS if name in reading.header]
    return f"the header has {', '.join(unsupported)}" if unsupported else None


def check_type(reading: Reading) -> str | None:
    """Refuse tokens made for another use (RFC 8725 section 3.11): id, refresh, logout, dpop."""
    typ = reading.header.get("typ")
    if "typ" in reading.header and not isinstance(typ, str):
        return "typ is not a string"
    if _media_type(_text(typ)) not in reading.rules.accepted_types:
        return f"typ is {typ!r}" if typ else "typ is missing"
    return None


def check_key(reading: Reading) -> str | None:
    """Find the key by its exact name, in memory: a `kid` reaches no file, database or network."""
    kid = reading.header.get("kid")
    if "kid" in reading.header and not isinstance(kid, str):
        return "kid is not a string"
    reading.kid = _text(kid)
    key = reading.keys.find(reading.kid)
    if key is None:
        return f"no key is named {kid!r}" if kid is not None else "it names none of several keys"
    reading.key = key
    return None


def check_algorithm(reading: Reading) -> str | None:
    """Compare only: the algorithm is the key's (RFC 8725 section 3.1), so `none` is no choice."""
    named, own = reading.header.get("alg"), reading.key.algorithm
    return f"alg is {named!r}, the key is for {own}" if named != own else None


def check_signature(reading: Reading) -> str | None:
    """Verify the signature over the very characters that the other checks read."""
    header, payload, signature = reading.parts
    message = f"{header}.{payload}".encode("ascii")
    return (
        None
        if reading.key.verifies(message, _decode(signature))
        else "it was not made with the key"
    )


def check_claims(reading: Reading) -> str | None:
    """Parse the claims."""
    try:
        reading.claims = parse_object(_decode(reading.parts[1]))
    except ValueError as error:
        return f"the payload is refused: {error}"
    return None


def check_subject(reading: Reading) -> str | None:
    """Require a name that can be shown, logged and compared."""
    subject = reading.claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
        return f"sub is not a string of 1 to {MAX_SUBJECT_LENGTH} characters"
    reading.subject = subject
    return "sub holds control characters" if _UNPRINTABLE.search(subject) else None


def check_expiry(reading: Reading) -> str | None:
    """Require an end that is a date, and ahead (RFC 7519 section 4.1.4)."""
    expires_at = _date(reading.claims.get("exp"))
    if expires_at is None:
        return "exp is not a whole number of seconds"
    reading.expires_at = expires_at
    ago = reading.now - expires_at
    return f"it expired {ago:.0f} s ago" if ago >= reading.rules.leeway else None


def check_not_before(reading: Reading) -> str | None:
    """Refuse a token that is not valid yet (RFC 7519 section 4.1.5)."""
    return _too_early(reading, "nbf")


def check_issued_at(reading: Reading) -> str | None:
    """Refuse a token from the future: somebody's clock is wrong."""
    reading.issued_at = _date(reading.claims.get("iat")) or 0
    return _too_early(reading, "iat")


def check_lifetime(reading: Reading) -> str | None:
    """Refuse tokens for 100 years, and those whose maker counted in milliseconds."""
    issued_at = _date(reading.claims.get("iat"))
    begin = reading.now if issued_at is None else min(issued_at, reading.now)
    lifetime, longest = reading.expires_at - begin, reading.rules.max_lifetime
    return f"it lives {lifetime:.0f} s of at most {longest}" if lifetime > longest else None


def check_issuer(reading: Reading) -> str | None:
    """Compare the issuer exactly (a substring match was CVE-2024-53861)."""
    if "iss" in reading.claims and not isinstance(reading.claims["iss"], str):
        return "iss is not a string"
    wanted = reading.rules.issuer
    reading.issuer = issuer = _text(reading.claims.get("iss"))
    return None if wanted in (None, issuer) else f"iss is {issuer!r} instead of {wanted!r}"


def check_audience(reading: Reading) -> str | None:
    """Require this server among the audience, exactly (RFC 7519 section 4.1.3)."""
    wanted = reading.rules.audience
    if "aud" not in reading.claims:
        return "aud is missing" if wanted else None
    audience = reading.claims["aud"]
    members = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(member, str) for member in members):
        return "aud is neither a string nor a list of strings"
    if not wanted:
        # The section: whoever does not identify itself with a value of a present aud must refuse.
        return f"aud is {audience!r}, but this server is configured with no audience"
    return None if set(wanted) & set(members) else f"aud is {audience!r} instead of {wanted!r}"


def check_binding(reading: Reading) -> str | None:
    """Refuse tokens bound to a key of the sender: taken as bearer tokens they lose that bond."""
    return "it is bound to its sender by cnf (RFC 7800)" if "cnf" in reading.claims else None


def check_token_id(reading: Reading) -> str | None:
    """Require a token id and a session that can be revoked, if there are any."""
    for name in ("jti", "sid"):
        if name in reading.claims and not isinstance(reading.claims[name], str):
            return f"{name} is not a string"
    reading.token_id = _text(reading.claims.get("jti"))
    return None


def check_rights(reading: Reading) -> str | None:
    """Compile the rights; a claim of a wrong type is refused, never taken as no restriction."""
    scope, items = reading.claims.get("scope", ""), reading.claims.get("items", {})
    if not isinstance(scope, str):
        return "scope is not a string"
    if not isinstance(items, dict) or not all(map(_are_strings, items.values())):
        return "items is not an object of lists of strings"
    reading.rights = ScopeSet.of_claims(scope, items)
    return None


CHECKS: Final[dict[str, Callable[[Reading], str | None]]] = {
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
    "token_id": check_token_id,
    "rights": check_rights,
}


def _too_early(reading: Reading, name: str) -> str | None:
    """Check a date that must not be ahead, if there is one."""
    if name not in reading.claims:
        return None
    date = _date(reading.claims[name])
    if date is None:
        return f"{name} is not a whole number of seconds"
    ahead = date - reading.now
    return f"{name} is {ahead:.0f} s ahead" if ahead > reading.rules.leeway else None


def _date(value: object) -> int | None:
    """Give a date, or None: True is an int to Python, and 10**400 overflows a timer."""
    return value if type(value) is int and 0 <= value <= LAST_DATE else None


def _text(value: object) -> str | None:
    """Give a string, or None."""
    return value if isinstance(value, str) else None


def _are_strings(value: object) -> bool:
    """Tell whether a value is a list of strings."""
    return isinstance(value, list) and all(isinstance(member, str) for member in value)


def _media_type(typ: str | None) -> str | None:
    """Normalise a `typ`: media types have no case, and application/ may be left out."""
    return typ and typ.lower().removeprefix("application/")


def _decode(part: str) -> bytes:
    """Decode base64url that is known to be canonical."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
