"""The token check that all peers make at a handshake, and tokens that pass it."""

import os
from typing import Final

import jwt

SECRET_VARIABLE: Final = "ITEMWIRE_SECRET"  # noqa: S105 - a name, not the secret
ALGORITHMS: Final = ["HS256"]
TOKENS: Final = 100
LIFETIME: Final = 12 * 3600


def subject_of(token: str | None) -> str | None:
    """Return the subject of a token, None if it is refused."""
    try:
        claims = jwt.decode(
            token or "",
            os.environ[SECRET_VARIABLE],
            algorithms=ALGORITHMS,
            options={"require": ["exp", "sub"]},
        )
    except jwt.PyJWTError:
        return None
    return str(claims["sub"])


def tokens_for(secret: str, count: int = TOKENS) -> tuple[str, ...]:
    """Return tokens of different subjects with the right to subscribe and publish."""
    # Imported here because peers run without the packages that `itemwire_auth` needs.
    from itemwire_auth.keys.static import signing_key_from_secret  # noqa: PLC0415
    from itemwire_auth.tokens.minting import mint  # noqa: PLC0415

    key = signing_key_from_secret(secret)
    scope = "items:subscribe items:publish"
    return tuple(
        mint(key, subject=f"bench-{number}", scope=scope, lifetime=LIFETIME)
        for number in range(count)
    )
