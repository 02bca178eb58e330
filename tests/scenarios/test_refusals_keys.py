"""Servers with a file of keys: each kind of key, their rotation, and key confusion."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.settings import Settings
from itemwire_auth.testing import (
    ABSENT,
    TokenFactory,
    confused,
    encode,
    jwk_set,
    private_jwk,
    public_jwk,
    public_pem,
    signing_key,
)
from tests.scenarios.conftest import Door, Serve

PAIRS = {
    "rs-new": "RS256",
    "rs-old": "RS256",
    "ps": "PS384",
    "es": "ES256",
    "es-512": "ES512",
    "ed": "EdDSA",
}
SECRETS = {"hs-new": "HS512", "hs-old": "HS512", "hs-384": "HS384"}


@pytest.fixture(scope="module", params=["close", "http"])
def pairs(
    request: pytest.FixtureRequest, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """Run a server that knows public keys only, as an identity provider publishes them."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_text(jwk_set(*(public_jwk(signing_key(PAIRS[kid], kid)) for kid in PAIRS)))
    yield from _door(serve, request.param, path, TokenFactory(signing_key("RS256", "rs-new")))


@pytest.fixture(scope="module", params=["close", "http"])
def secrets(
    request: pytest.FixtureRequest, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """Run a server that shares secrets with anyone who signs."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_text(jwk_set(*(private_jwk(signing_key(SECRETS[kid], kid)) for kid in SECRETS)))
    yield from _door(serve, request.param, path, TokenFactory(signing_key("HS512", "hs-new")))


@pytest.mark.parametrize("kid", PAIRS)
def test_takes_a_token_of_each_pair(pairs: Door, kid: str) -> None:
    """A key is found by its name: the old one works while it is in the file (requirement 47)."""
    token = _by(pairs, PAIRS[kid], kid).good()

    assert pairs.welcomes(pairs.path(token=token))


@pytest.mark.parametrize("kid", SECRETS)
def test_takes_a_token_of_each_secret(secrets: Door, kid: str) -> None:
    """Secrets rotate by `kid` as pairs do."""
    token = _by(secrets, SECRETS[kid], kid).good()

    assert secrets.welcomes(secrets.path(token=token))


@pytest.mark.parametrize("algorithm", sorted({*PAIRS.values()}))
def test_refuses_a_key_that_is_not_in_the_file(pairs: Door, algorithm: str) -> None:
    """A retired key's tokens end with it; no other key is tried in its place."""
    for kid in ("retired", *PAIRS):
        stranger = dataclasses.replace(signing_key(algorithm, "stranger"), kid=kid)
        token = dataclasses.replace(pairs.tokens, key=stranger).good()

        assert pairs.refusal(pairs.path(token=token)) == pairs.says("credentials_invalid")


def test_refuses_a_secret_that_is_not_in_the_file(secrets: Door) -> None:
    """The same for secrets: neither under its own name nor under another's."""
    for kid in ("retired", *SECRETS):
        stranger = dataclasses.replace(signing_key("HS512", "stranger"), kid=kid)
        token = dataclasses.replace(secrets.tokens, key=stranger).good()

        assert secrets.refusal(secrets.path(token=token)) == secrets.says("credentials_invalid")


@pytest.mark.parametrize("kid", [ABSENT, "", "RS-NEW", "rs-new ", "rs-", "../rs-new", 1, None])
def test_refuses_a_kid_that_names_no_key_exactly(pairs: Door, kid: object) -> None:
    """Among several keys a token says which (requirement 34); `rs-new` itself gets in above."""
    token = pairs.tokens.sign(pairs.tokens.header(kid=kid), pairs.tokens.claims())

    assert pairs.refusal(pairs.path(token=token)) == pairs.says("credentials_invalid")


@pytest.mark.parametrize("kid", ["rs-new", "es", "ed"])
@pytest.mark.parametrize("alg", ["HS256", "HS512", "none", "RS256", "ES256", "EdDSA", "PS256"])
def test_takes_the_algorithm_from_the_key(pairs: Door, kid: str, alg: str) -> None:
    """The header's algorithm is compared and never chosen by the token (RFC 8725 section 3.1)."""
    tokens = _by(pairs, PAIRS[kid], kid)
    token = tokens.sign(tokens.header(alg=alg), tokens.claims())

    if alg == PAIRS[kid]:
        assert pairs.welcomes(pairs.path(token=token))
    else:
        assert pairs.refusal(pairs.path(token=token)) == pairs.says("credentials_invalid")


@pytest.mark.parametrize("kid", ["rs-new", "es", "ed"])
def test_refuses_hs256_signed_with_a_public_key(pairs: Door, kid: str) -> None:
    """CVE-2016-10555: what everybody knows must not serve as a secret."""
    key = signing_key(PAIRS[kid], kid)
    pem = public_pem(key)
    for secret in (pem, pem.strip(), encode(public_jwk(key)).encode()):
        token = confused(_by(pairs, PAIRS[kid], kid), secret)

        assert pairs.refusal(pairs.path(token=token)) == pairs.says("credentials_invalid")


def test_refuses_a_secret_used_with_another_hash(secrets: Door) -> None:
    """One key, one algorithm: an HS512 secret does not verify HS256."""
    secret = secrets.tokens.key.key
    assert isinstance(secret, bytes)
    token = confused(secrets.tokens, secret)

    assert secrets.refusal(secrets.path(token=token)) == secrets.says("credentials_invalid")


def _by(door: Door, algorithm: str, kid: str) -> TokenFactory:
    """Make tokens with another of the server's keys."""
    return dataclasses.replace(door.tokens, key=signing_key(algorithm, kid))


def _door(serve: Serve, mode: str, keys_file: Path, tokens: TokenFactory) -> Iterator[Door]:
    settings = Settings.model_validate(
        {
            "keys_file": keys_file,
            "issuer": tokens.issuer,
            "audience": tokens.audience,
            "token_types": tokens.token_type,
            "refusal": mode,
        }
    )
    with serve(settings) as server:
        yield Door(server, "http" if mode == "http" else "close", tokens)
