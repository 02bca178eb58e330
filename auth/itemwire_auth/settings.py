"""Holds the settings of authentication, with their defaults and units."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from itemwire_auth.addresses import parse_networks
from itemwire_auth.environment import MendedEnvironment
from itemwire_auth.keys.fetching import DEFAULTS, Fetching
from itemwire_auth.origins import SELF
from itemwire_auth.policy_url import check_policy_url
from itemwire_auth.strict_json import parse_object
from itemwire_auth.tickets import MAX_SECONDS
from itemwire_auth.tokens.info_claims import InfoClaims
from itemwire_auth.tokens.parsed_token import MAX_LEEWAY
from itemwire_auth.tokens.rights_claims import RIGHTS_CLAIMS, RightsRules

LARGEST: Final = 1 << 40  # of a number that is set: more is a slip of the keyboard
LONGEST: Final = 10 * 365 * 86_400  # seconds that are set
THIRTY_DAYS: Final = int(timedelta(days=30).total_seconds())

KEY_SETTINGS: Final = ("secret", "keys_file", "jwks_url", "issuers_file")


def split_commas(value: object) -> object:
    """Return the entries of `a, b`; the empty text has none."""
    if isinstance(value, str):
        return [entry for part in value.split(",") if (entry := part.strip())]
    return value


def parse_object_text(value: object) -> object:
    """Return the JSON object that a text holds; the empty text holds an empty one."""
    return parse_object(value.encode() or b"{}") if isinstance(value, str) else value


def _is_number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - which Pydantic reports
    return value


Count = Annotated[int, BeforeValidator(_is_number), Field(le=LARGEST)]
PerSecond = Annotated[
    float, BeforeValidator(_is_number), Field(ge=0, le=LARGEST, allow_inf_nan=False)
]
Seconds = Annotated[float, BeforeValidator(_is_number), Field(le=LONGEST, allow_inf_nan=False)]
WholeSeconds = Annotated[int, BeforeValidator(_is_number), Field(le=LONGEST)]

RoleRights = Annotated[dict[str, str], NoDecode, BeforeValidator(parse_object_text)]
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
        default=None, description="One HMAC key (HS256) of at least 32 bytes."
    )
    keys_file: Path | None = Field(
        default=None,
        description="A JWK Set file with the keys that verify tokens (oct, RSA, EC, OKP); read "
        "again when it changes.",
    )
    jwks_url: str | None = Field(
        default=None,
        min_length=1,
        description="The https URL of the issuer's JWK Set: fetched at the start, regularly, and "
        "when a token names a `kid` that is not known.",
    )
    jwks_allow_http: bool = Field(
        default=False,
        description="Accept JWKS URLs with http:// and at private addresses: for tests, or for an "
        "issuer in your own network.",
    )
    jwks_cooldown: Seconds = Field(
        default=DEFAULTS.cooldown,
        gt=0,
        allow_inf_nan=False,
        description="Least seconds between two fetches for tokens with an unknown `kid`.",
    )
    jwks_refresh: Seconds = Field(
        default=DEFAULTS.refresh,
        gt=0,
        allow_inf_nan=False,
        description="Seconds between regular fetches: a removed key stops working within them.",
    )
    issuers_file: Path | None = Field(
        default=None, description="A JSON file that lists several issuers, each with its own keys."
    )
    issuer: str | None = Field(
        default=None,
        min_length=1,
        description="The `iss` that every token must have, compared exactly.",
    )
    audience: CommaSeparated = Field(
        default=(),
        description="Tokens must name one of these in `aud`. If empty, `aud` is refused.",
    )
    client_id: CommaSeparated = Field(
        default=(),
        description="Tokens without `aud` must name one of these in `client_id`, as the access "
        "tokens of Amazon Cognito do.",
    )
    subject_claim: str = Field(
        default="sub",
        min_length=1,
        description="The claim that says who the caller is: a name, or a path such as `user.id`.",
    )
    rights_claims: CommaSeparated = Field(
        default=RIGHTS_CLAIMS,
        description="Claims that hold rights or roles, beside `items`: names, or paths such as "
        "`realm_access.roles`. Each is a string of words or a list of strings.",
    )
    role_rights: RoleRights = Field(
        default={},
        description="What a role in one of these claims grants, as a JSON object: "
        '`{"editor": "items:*"}`. The values are words as in `scope`.',
    )
    default_rights: CommaSeparated = Field(
        default=(),
        description="Rights that every valid token has: actions on every item, or words as in "
        "`scope`.",
    )
    info_claims: CommaSeparated = Field(
        default=(),
        description="Claims that the other members of an item may know of a caller: names such as "
        "`name,picture`, or paths. They get none of them if these are more than 1 KiB.",
    )
    token_types: CommaSeparated = Field(
        default=(),
        description="The accepted `typ` values. If empty: JWT, at+jwt, or no `typ`.",
    )
    leeway: Seconds = Field(
        default=0,
        ge=0,
        le=MAX_LEEWAY,
        description="Seconds by which clocks may differ, for exp, nbf and iat.",
    )
    max_token_lifetime: WholeSeconds = Field(
        default=THIRTY_DAYS, gt=0, description="Longest accepted lifetime of a token, in seconds."
    )
    max_token_length: Count = Field(
        default=8192,
        gt=0,
        description="Longest accepted token, in characters (all of them ASCII); a longer one is "
        "refused before it is decoded.",
    )
    query_tokens: bool = Field(
        default=True,
        description="Accept tokens in the query string. If false, a client that can send its "
        "credential only there needs a one-time ticket.",
    )
    ticket_seconds: WholeSeconds = Field(
        default=30,
        ge=1,
        le=MAX_SECONDS,
        description="How long a one-time ticket is valid, in seconds.",
    )
    ticket_rate: PerSecond = Field(
        default=20,
        ge=0,
        allow_inf_nan=False,
        description="Tickets a second that one subject may get, with twice as many at once; above "
        "that, rate_limited; 0 sets no limit.",
    )
    max_tickets: Count = Field(
        default=200,
        ge=0,
        description="Tickets of one subject that were issued on this node, and neither used here "
        "nor expired; 0 sets no limit.",
    )
    cookie_name: str = Field(
        default="session",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="The cookie that may hold a token. With a name such as `__Host-session`, other "
        "hosts of the same site cannot set it.",
    )
    cookie_secure: bool = Field(
        default=True,
        description="Make browsers send the cookie over https only; one whose name starts with "
        "`__Host-` or `__Secure-` always is. `itemwire dev` turns this off.",
    )
    allowed_origins: CommaSeparated = Field(
        default=(SELF,),
        description="Web origins whose pages may use the cookie and read over HTTP (CORS): "
        "`https://app.example.com`, `https://*.example.com`; `self` for the server's own; or "
        "`null`, which reads nothing; `none` for none.",
    )
    allowed_hosts: CommaSeparated = Field(
        default=("localhost", "127.0.0.1", "[::1]"),
        description="Host names that count as `self`; any other may be DNS rebinding.",
    )
    policy_url: str | None = Field(
        default=None,
        description="The application's endpoint that decides rights, in place of the token's own.",
    )
    policy_timeout: Seconds = Field(
        default=2,
        gt=0,
        le=30,
        description="Seconds the policy endpoint has to answer; then the caller is refused.",
    )
    policy_cache_seconds: Seconds = Field(
        default=5,
        ge=0,
        le=300,
        description="Seconds for which a policy answer is reused; 0 asks each time.",
    )
    policy_token: SecretStr | None = Field(
        default=None, description="Sent to the policy endpoint as `Authorization: Bearer`, if set."
    )
    policy_allow_http: bool = Field(
        default=False, description="Whether claims may be sent to another machine unencrypted."
    )
    slow_after_refusals: Count = Field(
        default=60,
        ge=0,
        description="Refusals a minute for one address or subject above which answers are delayed; "
        "0 means never.",
    )
    stop_after_refusals: Count = Field(
        default=600,
        ge=0,
        description="Refusals a minute for one address or subject above which it is refused with "
        "rate_limited, before any token is read; 0 means never.",
    )
    throttle_exempt: CommaSeparated = Field(
        default=("127.0.0.0/8", "::1"),
        description="Addresses and networks whose refusals are not counted: by default this "
        "machine, where a proxy may hide its clients' addresses.",
    )

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what was given in code first, then the environment and `.env` as they were meant."""
        env_file = getattr(dotenv_settings, "env_file", None)
        mended = MendedEnvironment(settings_cls, env_file)
        return init_settings, mended, file_secret_settings

    @property
    def fetching(self) -> Fetching:
        """Return how JWKS URLs are fetched."""
        return Fetching(
            cooldown=self.jwks_cooldown,
            refresh=self.jwks_refresh,
            allow_http=self.jwks_allow_http,
        )

    def shown_claims(self) -> InfoClaims:
        """Return which claims other members may know."""
        return InfoClaims(self.info_claims)

    def rights_rules(self) -> RightsRules:
        """Return how the rights of a token are read."""
        return RightsRules(self.rights_claims, self.role_rights, self.default_rights)

    @model_validator(mode="after")
    def _has_known_rights(self) -> Self:
        """Refuse a role or a default that would grant nothing, because it is misspelt."""
        self.rights_rules()
        return self

    @model_validator(mode="after")
    def _has_one_source_of_keys(self) -> Self:
        """Refuse two sources of keys: which of them verifies a token would be a guess."""
        names = [name for name in KEY_SETTINGS if getattr(self, name) is not None]
        if len(names) > 1:
            raise ValueError(f"{list_variables(names, 'and')} are set together: keep only one")
        if self.issuers_file is not None and self.issuer is not None:
            raise ValueError(
                "ITEMWIRE_ISSUER and ITEMWIRE_ISSUERS_FILE are set together, and the file names "
                "every issuer: keep only one"
            )
        return self

    @model_validator(mode="after")
    def _has_a_safe_policy_url(self) -> Self:
        """Refuse a policy URL that would expose a token's claims."""
        if self.policy_url is not None:
            check_policy_url(self.policy_url, allow_http=self.policy_allow_http)
        return self

    @model_validator(mode="after")
    def _has_a_usable_throttle(self) -> Self:
        """Refuse thresholds in the wrong order and malformed networks."""
        if 0 < self.stop_after_refusals < self.slow_after_refusals:
            raise ValueError(
                "ITEMWIRE_STOP_AFTER_REFUSALS is below ITEMWIRE_SLOW_AFTER_REFUSALS: "
                "callers would be stopped before they are ever slowed down"
            )
        parse_networks(self.throttle_exempt)
        return self


def list_variables(names: Iterable[str], last: str) -> str:
    """Return settings as environment variables in a sentence: `A, B and C` with `last="and"`."""
    *variables, final = (f"ITEMWIRE_{name.upper()}" for name in names)
    return f"{', '.join(variables)} {last} {final}"
