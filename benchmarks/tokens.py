"""The one check that all peers make at a handshake, and the tokens that pass it."""

import os
from typing import Final

import jwt

SECRET_VARIABLE: Final = "ITEMWIRE_SECRET"  # noqa: S105 - the name of it
ALGORITHMS: Final = ["HS256"]
TOKENS: Final = 100
LIFETIME: Final = 12 * 3600


def subject_of(token: str | None) -> str | None:
    """Give whose token it is; None if it is refused."""
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


def tokens_for(secret: str) -> tuple[str, ...]:
    """Mint tokens of different subjects that may do everything."""
    # Not for the peers, which need not have what `auth` needs.
    from itemwire_auth.keys.static import signing_key_from_secret  # noqa: PLC0415
    from itemwire_auth.tokens.minting import mint  # noqa: PLC0415

    key = signing_key_from_secret(secret)
    scope = "items:subscribe items:publish"
    return tuple(
        mint(key, subject=f"bench-{number}", scope=scope, lifetime=LIFETIME)
        for number in range(TOKENS)
    )
