"""docs/identity-providers.md: with each row's settings, that provider's real tokens work."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.building import build_authenticator, build_policy
from itemwire_auth.explaining import Decision, explain
from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.keys.jwk import JWK
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.scopes import Action
from itemwire_auth.settings import AuthSettings
from itemwire_auth.testing import encode, jwk_set, public_jwk, signing_key
from itemwire_auth.tokens.minting import new_secret
from tests.auth.conftest import NOW
from tests.auth.key_server import Answer, KeyServer, key_server
from tests.auth.provider_tokens import SHAPES
from tests.auth.token_shape import ABSENT, Claims, Shape
from tests.docs.pages import page

pytestmark = pytest.mark.server

SECRET = new_secret()
ITEM = "order:42"
LINES = [line for line in page("identity-providers.md").splitlines() if line.startswith("| ")]
CELLS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES[2:]]
ROWS = {provider: cells for provider, *cells in CELLS}
SETTING = re.compile(r"`(ITEMWIRE_\w+)=([^`]*)`")


def settings_in(row: list[str]) -> dict[str, str]:
    """Return the settings of a row."""
    return dict(SETTING.findall(row[1]))


def actions_in(row: list[str]) -> set[Action]:
    """Return the actions that a row says are granted."""
    return {action for action in Action if f"`{action}`" in row[2]}


def key_of(shape: Shape, owner: str = "provider") -> SigningKey:
    """Return the key that signs a token, or somebody else's of the same name."""
    if shape.algorithm == "HS256" and owner == "provider":
        return replace(signing_key_from_secret(SECRET), kid=shape.kid)
    return replace(signing_key(shape.algorithm, owner), kid=shape.kid)


def token_of(shape: Shape, key: SigningKey, changes: Claims, **header: object) -> str:
    """Sign a token of a shape with some of its claims changed."""
    named = {} if shape.kid is None else {"kid": shape.kid}
    head = {"alg": shape.algorithm, **shape.header, **named, **header}
    claims = {
        name: value for name, value in {**shape.claims, **changes}.items() if value is not ABSENT
    }
    message = f"{encode(head)}.{encode(claims)}"
    return f"{message}.{encode(key.sign(message.encode()))}"


def published_keys() -> Iterator[JWK]:
    """Write keys as providers do: without `alg` (Entra ID), beside one to encrypt (Keycloak)."""
    keys = {shape.kid: key_of(shape) for shape in SHAPES.values() if shape.algorithm != "HS256"}
    for jwk in map(public_jwk, keys.values()):
        yield {name: value for name, value in jwk.items() if name != "alg"} | {"use": "sig"}
    yield public_jwk(signing_key("RS256", "enc")) | {"use": "enc", "alg": "RSA-OAEP"}


@pytest.fixture(scope="module")
def published() -> Iterator[KeyServer]:
    """Run one server for the key sets of all providers."""
    with key_server() as server:
        server.answer = Answer(jwk_set(*published_keys()).encode())
        yield server


@dataclass(frozen=True, slots=True)
class Configured:
    """Authentication as one row configures it."""

    settings: AuthSettings
    authenticator: Authenticator

    def explain(self, token: str) -> Decision:
        """Return what is decided about a token, fetching keys as a handshake does."""
        policy = build_policy(self.settings)
        return asyncio.run(explain(self.authenticator.verifier, policy, token, ITEM))


@pytest.fixture(scope="module", params=SHAPES)
def provider(request: pytest.FixtureRequest) -> str:
    """Return the name of each provider."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def configured(provider: str, published: KeyServer) -> Configured:
    """Set the variables that the page says, with keys of this machine."""
    ours = {"ITEMWIRE_SECRET": SECRET, "ITEMWIRE_JWKS_URL": published.url()}
    with pytest.MonkeyPatch.context() as environment:
        for name in AuthSettings.model_fields:
            environment.delenv(f"ITEMWIRE_{name.upper()}", raising=False)
        for name, value in settings_in(ROWS[provider]).items():
            environment.setenv(name, ours.get(name, value))
        environment.setenv("ITEMWIRE_JWKS_ALLOW_HTTP", "true")
        settings = AuthSettings()
    return Configured(settings, build_authenticator(settings, clock=lambda: NOW))


def failed(decision: Decision) -> list[str]:
    """Return the checks that refuse; each of them says why."""
    rows = [row for row in decision.checks if row.passed is False]
    assert all(row.detail for row in rows)
    return [row.name for row in rows]


def test_has_a_row_for_each_shape() -> None:
    """And a shape for each row, in the same order."""
    assert list(ROWS) == list(SHAPES)
    assert len(SHAPES) > 20


def test_takes_a_real_token_and_grants_what_the_page_says(
    provider: str, configured: Configured
) -> None:
    """No code of the application's own is needed (requirement 136)."""
    shape = SHAPES[provider]
    token = token_of(shape, key_of(shape), {})

    decision = configured.explain(token)
    principal = configured.authenticator.verifier.verify(token)

    assert failed(decision) == []
    assert decision.accepted
    assert ROWS[provider][0] == f"`{shape.subject}`"
    assert principal.subject == str(shape.claims[shape.subject])
    assert principal.rights.actions_on(ITEM) == actions_in(ROWS[provider]) != set()
    assert not principal.rights.admin
    rights = next(row.detail for row in decision.checks if row.name == "rights")
    assert "grants" in rights


def twins_of(shape: Shape, settings: Mapping[str, str]) -> Iterator[tuple[str, Claims, str]]:
    """List the bad twins of a token: those of its provider, and those of everybody."""
    for name, (changes, check) in shape.twins.items():
        yield name, changes, check
    yield "expired", {"iat": NOW - 900, "nbf": NOW - 900, "exp": NOW - 1}, "expiry"
    yield "without an end", {"exp": ABSENT}, "expiry"
    yield "of nobody", {shape.subject: ABSENT}, "subject"
    yield "bound to its sender", {"cnf": {"jkt": "x"}}, "binding"
    if "ITEMWIRE_AUDIENCE" in settings:
        yield "for another service", {"aud": ["another"]}, "audience"
        yield "for nobody", {"aud": ABSENT}, "audience"
    else:
        yield "for another service", {"aud": "another"}, "audience"
    if "ITEMWIRE_CLIENT_ID" in settings:
        yield "for another client", {"client_id": "another"}, "audience"
    if "ITEMWIRE_ISSUER" in settings:
        yield "from another issuer", {"iss": f"{shape.claims['iss']}.evil.test"}, "issuer"


def test_refuses_the_bad_twins_of_a_token(provider: str, configured: Configured) -> None:
    """What decides is checked as ever, and the explanation names the check."""
    shape = SHAPES[provider]
    for name, changes, check in twins_of(shape, settings_in(ROWS[provider])):
        decision = configured.explain(token_of(shape, key_of(shape), changes))

        is_about_rights = check == "rights"
        assert not decision.accepted, name
        assert failed(decision) == ["policy" if is_about_rights else check], name
        assert decision.reason == ("scope_missing" if is_about_rights else "credentials_invalid")


def test_refuses_forgeries_of_a_token(provider: str, configured: Configured) -> None:
    """Of another key, without a signature, with another algorithm, or with an extension."""
    shape = SHAPES[provider]
    own, stranger = key_of(shape), key_of(shape, "stranger")
    confused = signing_key_from_secret(new_secret())

    assert failed(configured.explain(token_of(shape, stranger, {}))) == ["signature"]
    for header, check in (
        ({"alg": "none"}, "algorithm"),
        ({"alg": "HS384"}, "algorithm"),
        ({"crit": ["exp"]}, "critical"),
        ({"typ": "dpop+jwt"}, "type"),
    ):
        assert failed(configured.explain(token_of(shape, own, {}, **header))) == [check]
    if shape.algorithm != "HS256":
        assert failed(configured.explain(token_of(shape, confused, {}, alg="HS256"))) == [
            "algorithm"
        ]
