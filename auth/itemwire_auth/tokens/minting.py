"""Mints tokens, for development, tests and the session cookie."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import jwt

from itemwire_auth.keys.algorithms import SigningKey


def new_secret() -> str:
    """Return a new secret for HS256: 48 random bytes, as text."""
    return secrets.token_urlsafe(48)


def mint(
    signing_key: SigningKey,
    *,
    subject: str,
    lifetime: int,
    scope: str = "",
    items: Mapping[str, Sequence[str]] | None = None,
    issuer: str | None = None,
    audience: str | Sequence[str] | None = None,
    token_type: str | None = None,
    token_id: str | None = None,
    now: float | None = None,
    claims: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """Return a signed token for `lifetime` seconds; the named arguments win over `claims`."""
    issued_at = int(time.time() if now is None else now)
    registered = {
        "sub": subject,
        "iat": issued_at,
        "exp": issued_at + lifetime,
        "jti": token_id or secrets.token_urlsafe(12),
        "iss": issuer,
        "aud": audience,
        "scope": scope or None,
        "items": items,
    }
    headers = {"typ": token_type, "kid": signing_key.kid}
    present = {name: value for name, value in registered.items() if value is not None}
    return jwt.encode(
        {**claims, **present},
        signing_key.key,
        algorithm=signing_key.algorithm,
        headers={name: value for name, value in headers.items() if value is not None},
    )
