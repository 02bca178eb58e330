"""Holds the settings of authentication, with their defaults and units."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from auth.authenticator import Authenticator
from auth.checks import MAX_LEEWAY
from auth.errors import KeyProblem
from auth.keys import StaticKeys, keys_from_file, keys_from_secret
from auth.origins import SELF, OriginPolicy
from auth.tokens import TokenRules, TokenVerifier

THIRTY_DAYS: Final = int(timedelta(days=30).total_seconds())


def split_commas(value: object) -> object:
    """Read `a, b` as two entries; the empty text has none."""
    if isinstance(value, str):
        return [entry for part in value.split(",") if (entry := part.strip())]
    return value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]


class AuthSettings(BaseSettings):
    """Settings of authentication; each is read from the environment as ITEMWIRE_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix="ITEMWIRE_",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a validation error must not print the secret
    )

    secret: SecretStr | None = Field(
        None, description="One HMAC key (HS256) of at least 32 bytes. Not together with keys_file."
    )
    keys_file: Path | None = Field(
        None, description="A JWK Set file with the keys that verify tokens (oct, RSA, EC, OKP)."
    )
    issuer: str | None = Field(
        None, min_length=1, description="The `iss` every token must have, compared exactly."
    )
    audience: CommaSeparated = Field(
        (),
        description="Tokens must name one of these in `aud`. With none, `aud` is refused.",
    )
    token_types: CommaSeparated = Field(
        (), description="The only accepted `typ` values. With none: absent, JWT and at+jwt."
    )
    leeway: float = Field(
        0,
        ge=0,
        le=MAX_LEEWAY,
        description="Seconds by which clocks may differ for exp, nbf and iat.",
    )
    max_token_lifetime: int = Field(
        THIRTY_DAYS, gt=0, description="Longest accepted life of a token, in seconds."
    )
    max_token_length: int = Field(
        8192,
        gt=0,
        description="Longest accepted token, in bytes; a longer one is not even decoded.",
    )
    cookie_name: str = Field(
        "session", pattern=r"^[A-Za-z0-9_-]+$", description="The cookie that may hold a token."
    )
    allowed_origins: CommaSeparated = Field(
        (SELF,),
        description="Web origins whose pages may use the cookie: `https://app.example.com`, "
        "`https://*.example.com`, `null`, or `self` for the server's own. With none, no page may.",
    )
    allowed_hosts: CommaSeparated = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        description="Host names under which `self` is believed (stops DNS rebinding).",
    )

    @model_validator(mode="after")
    def _has_one_source_of_keys(self) -> Self:
        """Refuse two sources of keys: which one verifies would be a guess."""
        if self.secret is not None and self.keys_file is not None:
            raise ValueError(
                "ITEMWIRE_SECRET and ITEMWIRE_KEYS_FILE are both set: unset one of them"
            )
        return self


def verification_keys(settings: AuthSettings) -> StaticKeys:
    """Load the configured keys, or raise KeyProblem saying how to get one."""
    if settings.secret is not None:
        return keys_from_secret(settings.secret.get_secret_value())
    if settings.keys_file is not None:
        return keys_from_file(settings.keys_file)
    raise KeyProblem(
        "no key to verify tokens with: set ITEMWIRE_SECRET (make one with "
        "`python3 -c 'import secrets; print(secrets.token_urlsafe(48))'`) or ITEMWIRE_KEYS_FILE, "
        "or try things out with `itemwire dev`, which makes a secret of its own"
    )


def build_authenticator(
    settings: AuthSettings, clock: Callable[[], float] = time.time
) -> Authenticator:
    """Put the parts together as configured; a bad key or origin is refused here, at start-up."""
    rules = TokenRules(
        issuer=settings.issuer,
        audience=settings.audience,
        types=settings.token_types,
        leeway=settings.leeway,
        max_lifetime=settings.max_token_lifetime,
        max_length=settings.max_token_length,
    )
    return Authenticator(
        verifier=TokenVerifier(verification_keys(settings), rules, clock),
        origins=OriginPolicy(settings.allowed_origins, settings.allowed_hosts),
        cookie_name=settings.cookie_name,
    )
