"""Tests of building.py: every setting arrives where it is applied."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from typing_extensions import override

from itemwire_auth.addresses import parse_networks
from itemwire_auth.building import (
    build_authenticator,
    build_policy,
    has_key,
    key_sources,
    session_cookie,
)
from itemwire_auth.errors import InvalidToken, KeyProblem
from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.policies import TokenRights
from itemwire_auth.policy_url import PolicyRules, PolicyURL
from itemwire_auth.settings import AuthSettings
from itemwire_auth.testing import public_jwk, signing_key
from itemwire_auth.ticket_limits import TicketLimits
from itemwire_auth.tickets import TicketStore
from itemwire_auth.tokens.minting import mint, new_secret
from itemwire_auth.tokens.parsed_token import TokenRules
from itemwire_auth.tokens.rights_claims import RightsRules
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import KeysFile
from tests.auth.key_server import key_server


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the machine out."""
    for name in AuthSettings.model_fields:
        monkeypatch.delenv(f"ITEMWIRE_{name.upper()}", raising=False)


def test_refuses_to_start_without_a_key() -> None:
    """The message says what to do, for this is the first one that everybody sees."""
    with pytest.raises(KeyProblem, match=r"ITEMWIRE_SECRET.*ITEMWIRE_KEYS_FILE.*itemwire dev"):
        build_authenticator(AuthSettings())


def test_refuses_to_start_with_a_bad_origin() -> None:
    """A typing error in the list is seen at the start, not by the first browser."""
    settings = AuthSettings(secret=SecretStr(new_secret()), allowed_origins=("*",))

    with pytest.raises(ValueError, match="allowed origin"):
        build_authenticator(settings)


def test_builds_an_authenticator_from_a_secret() -> None:
    """All rules arrive where they are applied: a token that meets them is accepted."""
    secret = new_secret()
    settings = AuthSettings(
        secret=SecretStr(secret),
        issuer="https://issuer.test",
        audience=("us",),
        token_types=("at+jwt",),
        cookie_name="__Host-session",
    )
    token = mint(
        signing_key_from_secret(secret),
        subject="alice",
        lifetime=60,
        issuer="https://issuer.test",
        audience="us",
        token_type="at+jwt",
    )

    authenticator = build_authenticator(settings)

    assert authenticator.verifier.verify(token).subject == "alice"
    assert authenticator.cookie_name == "__Host-session"


def test_builds_an_authenticator_from_a_keys_file(keys_file: KeysFile) -> None:
    """The other source of keys works the same."""
    key = signing_key("ES256", "a")

    authenticator = build_authenticator(AuthSettings(keys_file=keys_file(public_jwk(key))))

    token = mint(key, subject="alice", lifetime=60)
    assert authenticator.verifier.verify(token).subject == "alice"


@pytest.mark.server
def test_builds_an_authenticator_that_fetches_its_keys() -> None:
    """The third source: what is fetched is kept fresh while a server runs."""
    with key_server() as published:
        published.publish(key := signing_key("ES256", "a"))
        settings = AuthSettings(jwks_url=published.url(), jwks_allow_http=True)
        authenticator = build_authenticator(settings)
        token = mint(key, subject="alice", lifetime=60)

        async def scene() -> str:
            async with authenticator.running():
                return authenticator.verifier.verify(token).subject

        assert asyncio.run(scene()) == "alice"
        with pytest.raises(KeyProblem, match="https"):
            build_authenticator(AuthSettings(jwks_url=published.url()))


def test_keys_have_the_name_of_the_setting_that_gives_them(keys_file: KeysFile) -> None:
    """The doctor and `check` say by it where to look."""
    path = keys_file(public_jwk(signing_key("ES256", "a")))
    given = {
        "ITEMWIRE_SECRET": AuthSettings(secret=SecretStr(new_secret())),
        "ITEMWIRE_KEYS_FILE": AuthSettings(keys_file=path),
        "ITEMWIRE_JWKS_URL": AuthSettings(jwks_url="https://keys.test/keys"),
    }

    assert [has_key(settings) for settings in (AuthSettings(), *given.values())] == [
        False,
        *[True] * 3,
    ]
    assert {name: list(key_sources(settings)) for name, settings in given.items()} == {
        name: [name] for name in given
    }


def test_builds_an_authenticator_for_several_issuers(
    keys_file: KeysFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fourth: each issuer by its own keys, and the rules that all have in common."""
    monkeypatch.setenv("BACKEND_SECRET", secret := new_secret())
    backend, people = signing_key_from_secret(secret), signing_key("ES256", "a")
    keys_file(public_jwk(people)).rename("people.json")
    entries = [
        {"issuer": "backend", "secret_env": "BACKEND_SECRET"},
        {"issuer": "people", "audience": "wire", "keys_file": "people.json"},
        {"issuer": "others", "jwks_url": "https://others.test/keys"},
    ]
    Path("issuers.json").write_text(json.dumps(entries))

    settings = AuthSettings(issuers_file=Path("issuers.json"), token_types=("at+jwt",))
    assert list(key_sources(settings)) == [f"the issuer {one['issuer']}" for one in entries]
    authenticator = build_authenticator(settings)

    def token(key: SigningKey, issuer: str, audience: str | None, token_type: str) -> str:
        return mint(
            key, subject="a", lifetime=9, issuer=issuer, audience=audience, token_type=token_type
        )

    verify = authenticator.verifier.verify
    assert verify(token(backend, "backend", None, "at+jwt")).issuer == "backend"
    assert verify(token(people, "people", "wire", "at+jwt")).issuer == "people"
    for key, issuer, audience, token_type in (
        (backend, "people", "wire", "at+jwt"),
        (people, "backend", None, "at+jwt"),
        (people, "people", None, "at+jwt"),
        (backend, "backend", None, "JWT"),
    ):
        with pytest.raises(InvalidToken):
            verify(token(key, issuer, audience, token_type))
    assert [keys.source for keys in authenticator.fetched_keys] == [
        "the JWK Set at https://others.test/keys"
    ]


def test_a_revocation_outlives_the_tokens_of_every_issuer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest life is one setting for all of them, however many there are."""
    monkeypatch.setenv("A_SECRET", new_secret())
    monkeypatch.setenv("B_SECRET", secret := new_secret())
    entries = [{"issuer": name, "secret_env": f"{name.upper()}_SECRET"} for name in ("a", "b")]
    file = tmp_path / "issuers.json"
    file.write_text(json.dumps(entries))
    settings = AuthSettings(issuers_file=file, max_token_lifetime=3600, leeway=5)
    authenticator = build_authenticator(settings, clock=lambda: 1_800_000_000.0)
    key = signing_key_from_secret(secret)

    def ends(lifetime: int) -> int:
        token = mint(key, subject="x", issuer="b", lifetime=lifetime, now=1_800_000_005)
        return authenticator.verifier.verify(token).expires_at + 5

    assert ends(3595) <= authenticator.revocations.end_of_life() == 1_800_003_610
    with pytest.raises(InvalidToken):
        ends(3601)


def test_asks_whom_the_settings_name() -> None:
    """Without an URL the token's rights decide; with one, the application does."""
    asked = AuthSettings(policy_url="https://app.example.com/rights", policy_token=SecretStr("s"))

    assert isinstance(build_policy(AuthSettings()), TokenRights)
    assert isinstance(build_policy(asked), PolicyURL)
    assert "'s'" not in repr(asked)


class NoTickets(TicketStore):
    """A store that nothing is put into."""

    @override
    async def put(self, key: str, value: bytes, seconds: float) -> None:
        raise AssertionError

    @override
    async def take(self, key: str) -> bytes | None:
        raise AssertionError


def test_has_tickets_where_it_is_given_a_store_for_them() -> None:
    """Without a store nobody could find them again."""
    settings = AuthSettings(secret=SecretStr(new_secret()))

    assert build_authenticator(settings).tickets is None
    assert build_authenticator(settings, NoTickets()).tickets is not None


def test_what_may_be_configured_reaches_the_authenticator() -> None:
    """Each setting has another value than by default, and is where it is applied."""
    settings = AuthSettings(
        secret=SecretStr(new_secret()),
        leeway=7,
        query_tokens=False,
        max_token_lifetime=1000,
        slow_after_refusals=3,
        stop_after_refusals=9,
        throttle_exempt=("10.0.0.0/8",),
    )
    built = build_authenticator(settings, clock=lambda: 5.0)
    rules = built.throttle._rules

    assert (built.leeway, built.query_tokens, built.fetched_keys) == (7, False, ())
    assert built.revocations.end_of_life() == 5 + 1000 + 2 * 7
    assert (rules.slow_after, rules.stop_after) == (3, 9)
    assert rules.exempt == parse_networks(["10.0.0.0/8"])


def test_what_may_be_configured_reaches_tickets_policy_and_cookie() -> None:
    """As for the authenticator itself."""
    settings = AuthSettings(
        secret=SecretStr(new_secret()),
        leeway=7,
        ticket_seconds=11,
        ticket_rate=13,
        max_tickets=17,
        cookie_name="__Host-s",
        cookie_secure=False,
        policy_url="http://policy.internal/",
        policy_allow_http=True,
        policy_timeout=3,
        policy_cache_seconds=4,
        policy_token=SecretStr("t0ken"),
    )
    tickets = build_authenticator(settings, NoTickets(), clock=lambda: 5.0).tickets
    policy, cookie = build_policy(settings), session_cookie(settings, clock=lambda: 5.0)

    assert tickets is not None
    assert (tickets.seconds, tickets.leeway, tickets.clock()) == (11, 7, 5.0)
    assert tickets.allowances._limits == TicketLimits(rate=13, unused=17)
    assert isinstance(policy, PolicyURL)
    assert policy._rules == PolicyRules(3, 4, "t0ken", allow_http=True)
    assert (cookie.name, cookie.holding("t", 15).count("Max-Age=10;")) == ("__Host-s", 1)


@pytest.mark.parametrize("is_secure", [True, False])
def test_a_cookie_is_secure_unless_the_settings_say_otherwise(is_secure: bool) -> None:
    """`itemwire dev` speaks http, where a secure cookie would never be sent."""
    settings = AuthSettings(cookie_name="s", cookie_secure=is_secure)

    assert ("; Secure" in session_cookie(settings).cleared()) is is_secure


def test_tokens_are_checked_by_what_is_configured() -> None:
    """Each rule has another value than by default, and is the setting of its name."""
    settings = AuthSettings(
        secret=SecretStr(new_secret()),
        issuer="me",
        audience=("api",),
        client_id=("web",),
        subject_claim="email",
        default_rights=("subscribe",),
        token_types=("at+jwt",),
        leeway=7,
        max_token_lifetime=1000,
        max_token_length=999,
    )
    verifier = build_authenticator(settings).verifier
    assert isinstance(verifier, TokenVerifier)

    assert verifier._rules == TokenRules(
        issuer="me",
        audience=("api",),
        client_ids=("web",),
        subject_claim="email",
        rights=RightsRules(defaults=("subscribe",)),
        types=("at+jwt",),
        leeway=7,
        max_lifetime=1000,
        max_length=999,
    )
