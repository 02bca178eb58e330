"""Holds the settings of authentication, with their defaults and units."""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from itemwire_auth.addresses import parse_networks
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.cookies import SessionCookie
from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.files import FileKeys
from itemwire_auth.keys.jwks import DEFAULTS, Fetching, JWKSKeys
from itemwire_auth.keys.static import keys_from_secret
from itemwire_auth.origins import SELF, OriginPolicy
from itemwire_auth.policies import Policy, TokenRights
from itemwire_auth.policy_url import PolicyRules, PolicyURL, check_policy_url
from itemwire_auth.revocation import Revocations
from itemwire_auth.throttle import Throttle, ThrottleRules
from itemwire_auth.tickets import MAX_SECONDS, Tickets, TicketStore
from itemwire_auth.tokens.checks import MAX_LEEWAY, KeySource
from itemwire_auth.tokens.issuers import IssuersVerifier
from itemwire_auth.tokens.issuers_file import issuers_from_file
from itemwire_auth.tokens.verifier import TokenRules, TokenVerifier, Verifier

THIRTY_DAYS: Final = int(timedelta(days=30).total_seconds())

KEY_SETTINGS: Final = ("secret", "keys_file", "jwks_url", "issuers_file")


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

    secret: SecretStr | None = Field(None, description="One HMAC key (HS256) of at least 32 bytes.")
    keys_file: Path | None = Field(
        None,
        description="A JWK Set file with the keys that verify tokens (oct, RSA, EC, OKP); read "
        "again when it changes.",
    )
    jwks_url: str | None = Field(
        None,
        min_length=1,
        description="Where the issuer publishes its JWK Set (https): fetched at the start, "
        "regularly, and for a `kid` that is not known.",
    )
    jwks_allow_http: bool = Field(
        False,
        description="Take JWKS URLs with http:// and at private addresses: for tests, or an "
        "issuer in your own network.",
    )
    jwks_cooldown: float = Field(
        DEFAULTS.cooldown,
        gt=0,
        allow_inf_nan=False,
        description="Seconds between fetches that tokens with an unknown `kid` ask for.",
    )
    jwks_refresh: float = Field(
        DEFAULTS.refresh,
        gt=0,
        allow_inf_nan=False,
        description="Seconds between fetches otherwise; a removed key works no longer than that.",
    )
    issuers_file: Path | None = Field(
        None, description="A JSON file with several issuers, each with its own keys."
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
        description="Longest accepted token, in characters, of which all are ASCII; a longer one "
        "is not even decoded.",
    )
    query_tokens: bool = Field(
        True,
        description="Take tokens in the query. Without, a client that can put its credential only "
        "there needs a one-time ticket.",
    )
    ticket_seconds: int = Field(
        30, ge=1, le=MAX_SECONDS, description="How long a one-time ticket is good, in seconds."
    )
    cookie_name: str = Field(
        "session",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="The cookie that may hold a token. `__Host-session` keeps other hosts of the "
        "same site from setting it.",
    )
    cookie_secure: bool = Field(
        True,
        description="Have browsers send the cookie over https only; a cookie whose name starts "
        "with `__Host-` or `__Secure-` always is. `itemwire dev` turns this off.",
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
    policy_url: str | None = Field(
        None,
        description="Where the application says who may do what, instead of the token's rights.",
    )
    policy_timeout: float = Field(
        2, gt=0, le=30, description="Seconds the policy has to answer; then nobody is let in."
    )
    policy_cache_seconds: float = Field(
        5, ge=0, le=300, description="Seconds an answer of the policy holds; 0 asks each time."
    )
    policy_token: SecretStr | None = Field(
        None, description="Sent to the policy as `Authorization: Bearer`, if set."
    )
    policy_allow_http: bool = Field(
        False, description="Whether claims may be sent to another machine in the clear."
    )
    slow_after_refusals: int = Field(
        60,
        ge=0,
        description="Refusals a minute of one address or subject past which they are answered "
        "late; 0 is never.",
    )
    stop_after_refusals: int = Field(
        600,
        ge=0,
        description="Refusals a minute of one address or subject past which it is refused with "
        "rate_limited, and no token is looked at; 0 is never.",
    )
    throttle_exempt: CommaSeparated = Field(
        ("127.0.0.0/8", "::1"),
        description="Addresses and networks whose refusals are not counted: this machine, where a "
        "proxy may stand that tells nobody's address.",
    )

    @model_validator(mode="after")
    def _has_one_source_of_keys(self) -> Self:
        """Refuse two sources of keys: which one verifies would be a guess."""
        names = [name for name in KEY_SETTINGS if getattr(self, name) is not None]
        if len(names) > 1:
            raise ValueError(f"{_listed(names, 'and')} are set together: unset one of them")
        if self.issuers_file is not None and self.issuer is not None:
            raise ValueError(
                "ITEMWIRE_ISSUER is set with ITEMWIRE_ISSUERS_FILE, which names them: unset one"
            )
        return self

    @property
    def fetching(self) -> Fetching:
        """Give how JWKS URLs are fetched."""
        return Fetching(
            cooldown=self.jwks_cooldown,
            refresh=self.jwks_refresh,
            allow_http=self.jwks_allow_http,
        )

    @model_validator(mode="after")
    def _has_a_policy_that_can_be_asked(self) -> Self:
        """Refuse an URL that claims must not be sent to."""
        if self.policy_url is not None:
            check_policy_url(self.policy_url, allow_http=self.policy_allow_http)
        return self

    @model_validator(mode="after")
    def _slows_down_before_it_stops(self) -> Self:
        """Refuse thresholds in the wrong order, and networks that are none."""
        if 0 < self.stop_after_refusals < self.slow_after_refusals:
            raise ValueError(
                "ITEMWIRE_STOP_AFTER_REFUSALS is below ITEMWIRE_SLOW_AFTER_REFUSALS: "
                "who is stopped at once is never slowed down"
            )
        parse_networks(self.throttle_exempt)
        return self


def _listed(names: Iterable[str], last: str) -> str:
    """Write the variables of settings as a list."""
    *variables, final = (f"ITEMWIRE_{name.upper()}" for name in names)
    return f"{', '.join(variables)} {last} {final}"


def verification_keys(settings: AuthSettings) -> KeySource:
    """Load the configured keys, or raise KeyProblem saying how to get one."""
    if settings.secret is not None:
        return keys_from_secret(settings.secret.get_secret_value())
    if settings.keys_file is not None:
        return FileKeys(settings.keys_file)
    if settings.jwks_url is not None:
        return JWKSKeys(settings.jwks_url, settings.fetching)
    raise KeyProblem(
        "no key to verify tokens with: set ITEMWIRE_SECRET (make one with "
        "`python3 -c 'import secrets; print(secrets.token_urlsafe(48))'`), "
        f"{_listed(KEY_SETTINGS[1:], 'or')}, "
        "or try things out with `itemwire dev`, which makes a secret of its own"
    )


def session_cookie(
    settings: AuthSettings, *, clock: Callable[[], float] = time.time
) -> SessionCookie:
    """Write the session cookie as configured."""
    return SessionCookie(settings.cookie_name, is_secure=settings.cookie_secure, clock=clock)


def build_authenticator(
    settings: AuthSettings,
    ticket_store: TicketStore | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> Authenticator:
    """Put the parts together as configured; a bad key or origin is refused here, at start-up.

    Without a store there are no tickets.
    """
    rules = TokenRules(
        issuer=settings.issuer,
        audience=settings.audience,
        types=settings.token_types,
        leeway=settings.leeway,
        max_lifetime=settings.max_token_lifetime,
        max_length=settings.max_token_length,
    )
    verifier, sources = _verifier(settings, rules, clock)
    return Authenticator(
        verifier=verifier,
        origins=OriginPolicy(settings.allowed_origins, settings.allowed_hosts),
        cookie_name=settings.cookie_name,
        # Both clocks may be off: the issuer's when it dates a token, ours when it expires.
        revocations=Revocations(
            longest_life=settings.max_token_lifetime + 2 * settings.leeway, clock=clock
        ),
        tickets=None
        if ticket_store is None
        else Tickets(
            ticket_store, seconds=settings.ticket_seconds, leeway=settings.leeway, clock=clock
        ),
        query_tokens=settings.query_tokens,
        fetched_keys=tuple(source for source in sources if isinstance(source, JWKSKeys)),
        throttle=build_throttle(settings),
    )


def _verifier(
    settings: AuthSettings, rules: TokenRules, clock: Callable[[], float]
) -> tuple[Verifier, list[KeySource]]:
    """Make the verifier of the one issuer or of several, and tell where keys come from."""
    if settings.issuers_file is None:
        keys = verification_keys(settings)
        return TokenVerifier(keys, rules, clock), [keys]
    issuers = issuers_from_file(settings.issuers_file, settings.fetching, settings.audience)
    return IssuersVerifier(issuers, rules, clock), [issuer.keys for issuer in issuers.values()]


def build_throttle(settings: AuthSettings) -> Throttle:
    """Make the throttle that the settings describe."""
    return Throttle(
        ThrottleRules(
            slow_after=settings.slow_after_refusals,
            stop_after=settings.stop_after_refusals,
            exempt=parse_networks(settings.throttle_exempt),
        )
    )


def build_policy(settings: AuthSettings) -> Policy:
    """Make the policy that the settings describe; one with an URL must be opened before use."""
    if settings.policy_url is None:
        return TokenRights()
    token = settings.policy_token
    rules = PolicyRules(
        timeout=settings.policy_timeout,
        cache_seconds=settings.policy_cache_seconds,
        token=token.get_secret_value() if token else None,
        allow_http=settings.policy_allow_http,
    )
    return PolicyURL(settings.policy_url, rules)
