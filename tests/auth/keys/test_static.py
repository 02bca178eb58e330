"""Tests of keys/static.py: which keys a server starts with, and which it finds for a token."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import secrets
import traceback
from pathlib import Path

import pytest

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.algorithms import ALGORITHMS
from itemwire_auth.keys.jwk import JWK
from itemwire_auth.keys.static import StaticKeys, keys_from_file
from itemwire_auth.testing import encode, private_jwk, public_jwk, public_pem, signing_key
from tests.auth.conftest import KeysFile
from tests.auth.keys.test_strength import roca_prime_shape

SYMMETRIC = [name for name, (kty, _) in ALGORITHMS.items() if kty == "oct"]
ASYMMETRIC = [name for name in ALGORITHMS if name not in SYMMETRIC]
PEM = public_pem(signing_key("RS256"))
SSH = public_pem(signing_key("RS256"))
EC_JWK = public_jwk(signing_key("ES256", "ec"))
RSA_JWK = public_jwk(signing_key("RS256")) | {"kid": "rsa"}
OCT_JWK = private_jwk(signing_key("HS256", "oct"))
OKP_JWK = public_jwk(signing_key("EdDSA", "okp"))


def rsa_jwk(modulus: int, exponent: int) -> JWK:
    """Write an RSA key that no generator would make."""
    size = (modulus.bit_length() + 7) // 8
    return {
        "kty": "RSA",
        "n": encode(modulus.to_bytes(size, "big")),
        "e": encode(exponent.to_bytes(4, "big")),
    }


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_loads_each_algorithm(algorithm: str, keys_file: KeysFile) -> None:
    """Every algorithm of the product verifies what it signed, and nothing that was changed."""
    key = signing_key(algorithm, "a")
    jwk = private_jwk(key) if algorithm in SYMMETRIC else public_jwk(key)

    found = keys_from_file(keys_file(jwk)).find("a")

    assert found is not None
    assert found.algorithm == algorithm
    assert found.verifies(b"message", key.sign(b"message"))
    assert not found.verifies(b"massage", key.sign(b"message"))
    assert not found.verifies(b"message", b"")


@pytest.mark.parametrize(
    ("made_as", "algorithm"),
    [
        pytest.param("RS512", "RS256", id="RSA"),
        pytest.param("HS512", "HS256", id="oct"),
        pytest.param("ES256", "ES256", id="P-256"),
        pytest.param("ES384", "ES384", id="P-384"),
        pytest.param("ES512", "ES512", id="P-521"),
        pytest.param("EdDSA", "EdDSA", id="Ed25519"),
    ],
)
def test_derives_a_missing_alg(made_as: str, algorithm: str, keys_file: KeysFile) -> None:
    """A key without `alg` has one algorithm all the same (RFC 8725 section 3.1)."""
    jwk = private_jwk(signing_key(made_as, "a"))
    del jwk["alg"]

    found = keys_from_file(keys_file(jwk)).find("a")

    assert found is not None
    assert found.algorithm == algorithm


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_verifies_with_the_public_half_of_a_private_key(
    algorithm: str, keys_file: KeysFile
) -> None:
    """One file may serve minting and verifying; the verifier keeps no private key."""
    key = signing_key(algorithm, "a")

    found = keys_from_file(keys_file(private_jwk(key))).find("a")

    assert found == key.verification_key()
    assert not hasattr(found.key, "sign")


@pytest.mark.parametrize("kid", ["b", "A", "a ", "", "../a", "a\0"])
def test_finds_a_key_by_its_exact_name_only(kid: str, keys_file: KeysFile) -> None:
    """A name that is not there falls back to nothing, not even to an only key (requirement 34)."""
    keys = keys_from_file(keys_file(public_jwk(signing_key("ES256", "a"))))

    assert keys.find("a") is not None
    assert keys.find(kid) is None


def test_a_token_without_kid_means_the_only_key(keys_file: KeysFile) -> None:
    """With one key there is nothing to guess; with two there is."""
    one = keys_from_file(keys_file(EC_JWK))
    two = keys_from_file(keys_file(EC_JWK, RSA_JWK))

    assert one.find(None) is one.find("ec") is not None
    assert two.find(None) is None
    assert two.find("rsa") is not None


def test_one_secret_answers_to_every_name(keys_file: KeysFile) -> None:
    """Its file gives it none; a pair without a name, and a secret with one, do not."""
    secret = {name: value for name, value in OCT_JWK.items() if name != "kid"}
    pair = {name: value for name, value in EC_JWK.items() if name != "kid"}

    assert keys_from_file(keys_file(secret)).find("any") is not None
    assert keys_from_file(keys_file(OCT_JWK)).find("any") is None
    assert keys_from_file(keys_file(pair)).find("any") is None
    assert keys_from_file(keys_file(pair)).find(None) is not None


def test_one_name_may_stand_for_keys_of_several_algorithms(keys_file: KeysFile) -> None:
    """RFC 7517 section 4.5: then the algorithm tells which; a key that is there twice is one."""
    keys = keys_from_file(keys_file(EC_JWK, RSA_JWK | {"kid": "ec"}, EC_JWK))

    assert len(keys) == 2
    assert keys.find("ec") is None
    assert {name: getattr(keys.find("ec", name), "algorithm", None) for name in ALGORITHMS} == {
        name: name if name in ("ES256", "RS256") else None for name in ALGORITHMS
    }


def test_rotation_ends_when_the_old_key_is_removed(keys_file: KeysFile) -> None:
    """Old and new verify side by side until the old is taken out (requirement 47)."""
    both = keys_from_file(keys_file(EC_JWK, RSA_JWK))
    later = keys_from_file(keys_file(RSA_JWK))

    assert both.find("ec") is not None
    assert both.find("rsa") is not None
    assert later.find("ec") is None


REFUSED_JWKS: dict[str, tuple[list[JWK], str]] = {
    "use_enc": ([EC_JWK | {"use": "enc"}], "use"),
    "use_null": ([EC_JWK | {"use": None}], "use"),
    "key_ops_without_verify": ([EC_JWK | {"key_ops": ["sign"]}], "key_ops"),
    "key_ops_text": ([EC_JWK | {"key_ops": "verify"}], "key_ops"),
    "alg_none": ([OCT_JWK | {"alg": "none"}], "alg that does not fit"),
    "alg_of_another_type": ([EC_JWK | {"alg": "HS256"}], "alg that does not fit"),
    "alg_of_another_curve": ([EC_JWK | {"alg": "ES384"}], "alg that does not fit"),
    "alg_for_encryption": ([RSA_JWK | {"alg": "RSA-OAEP"}], "alg that does not fit"),
    "alg_list": ([RSA_JWK | {"alg": ["RS256"]}], "alg that does not fit"),
    "alg_null": ([RSA_JWK | {"alg": None}], "alg that does not fit"),
    "secp256k1": ([EC_JWK | {"crv": "secp256k1", "alg": "ES256K"}], "supported type"),
    "ed448": ([OKP_JWK | {"crv": "Ed448"}], "supported type"),
    "curve_missing": ([{k: v for k, v in EC_JWK.items() if k != "crv"}], "supported type"),
    "kty_missing": ([{"k": OCT_JWK["k"]}], "supported type"),
    "kty_list": ([OCT_JWK | {"kty": ["oct"]}], "supported type"),
    "kid_number": ([EC_JWK | {"kid": 1}], "kid"),
    "kid_empty": ([EC_JWK | {"kid": ""}], "kid"),
    "kid_null": ([EC_JWK | {"kid": None}], "kid"),
    "kid_twice": ([EC_JWK, public_jwk(signing_key("ES256", "x")) | {"kid": "ec"}], "twice"),
    "kid_missing_in_two": (
        [{k: v for k, v in jwk.items() if k != "kid"} for jwk in (EC_JWK, RSA_JWK)],
        "no kid",
    ),
    "secret_beside_public_key": ([OCT_JWK, EC_JWK], "mixes"),
    "point_off_curve": ([EC_JWK | {"x": EC_JWK["y"]}], "damaged"),
    "point_too_short": ([EC_JWK | {"x": "AAAA"}], "damaged"),
    "member_missing": ([{k: v for k, v in EC_JWK.items() if k != "y"}], "damaged"),
    "k_missing": ([{"kty": "oct"}], "damaged"),
    "k_number": ([{"kty": "oct", "k": 7}], "base64url"),
    "k_not_base64url": ([{"kty": "oct", "k": "correct horse battery staple " * 9}], "base64url"),
    "k_empty": ([{"kty": "oct", "k": ""}], "base64url"),
    "k_short": ([{"kty": "oct", "k": encode(secrets.token_bytes(31))}], "too short"),
    "k_short_for_hs384": (
        [{"kty": "oct", "k": encode(secrets.token_bytes(47)), "alg": "HS384"}],
        "too short",
    ),
    "k_short_for_hs512": (
        [{"kty": "oct", "k": encode(secrets.token_bytes(63)), "alg": "HS512"}],
        "too short",
    ),
    "k_is_a_public_key": ([{"kty": "oct", "k": encode(PEM)}], "public key"),
    "k_is_the_example_of_the_rfc": (
        [{"kty": "oct", "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"}],
        "published",
    ),
    "rsa_short": ([rsa_jwk((1 << 2046) + 1, 65537)], "too short"),
    "rsa_small_exponent": ([rsa_jwk((1 << 2047) + 1, 3)], "exponent"),
    "rsa_roca": ([rsa_jwk(roca_prime_shape() * roca_prime_shape(), 65537)], "ROCA"),
    "no_keys": ([], "at least one key"),
}


@pytest.mark.parametrize(
    ("jwks", "why"), [pytest.param(*row, id=name) for name, row in REFUSED_JWKS.items()]
)
def test_refuses_to_start_with(jwks: list[JWK], why: str, keys_file: KeysFile) -> None:
    """A weak, damaged or ambiguous key stops the start (requirements 42 to 48)."""
    path = keys_file(*jwks)

    with pytest.raises(KeyProblem, match=why) as refused:
        keys_from_file(path)

    assert_shows_no_key(refused.value, jwks)


def assert_shows_no_key(problem: BaseException, jwks: list[JWK]) -> None:
    """Look through a problem as a traceback would show it, causes included."""
    shown = "".join(traceback.format_exception(problem))
    members = [value for jwk in jwks for value in dict(jwk).values()]

    assert not any(str(value) in shown for value in members if len(str(value)) > 20)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param("{", "not JSON", id="half"),
        pytest.param(json.dumps([EC_JWK]), "not an object", id="list"),
        pytest.param(json.dumps(EC_JWK), "JWK Set", id="one-jwk"),
        pytest.param('{"keys": ["a"]}', "not a JSON object", id="key-is-text"),
        pytest.param('{"keys": {}}', "JWK Set", id="keys-object"),
        pytest.param('{"keys": [], "keys": []}', "twice", id="name-twice"),
        pytest.param(PEM.decode(), "not JSON", id="pem"),
        pytest.param('{"keys":' + "[" * 5000, "nested", id="deep"),
    ],
)
def test_refuses_a_file_that_is_no_set(text: str, why: str, tmp_path: Path) -> None:
    """The message says what the file must be, for anyone who reads it at three in the morning."""
    path = tmp_path / "keys.json"
    path.write_text(text)

    with pytest.raises(KeyProblem, match=why):
        keys_from_file(path)


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is a key problem with the path in it, not a traceback."""
    with pytest.raises(KeyProblem, match=r"absent\.json"):
        keys_from_file(tmp_path / "absent.json")


def test_a_key_that_is_here_already_stays_the_same_object() -> None:
    """What it has verified is remembered by it; a key of another content is another key."""
    kept, other = signing_key("ES256", "a"), signing_key("ES256", "b")
    before = StaticKeys([kept.verification_key()])
    replaced = dataclasses.replace(other.verification_key(), kid="a")

    assert before.renewed([kept.verification_key()]).find("a") is before.find("a")
    assert before.renewed([replaced]).find("a") is replaced
    assert [key.kid for key in before.renewed([kept.verification_key()])] == ["a"]
    assert len(before) == 1


def test_looks_nowhere_else_for_a_key_that_is_not_there(keys_file: KeysFile) -> None:
    """The file is all there is, so nobody asks it a second time."""
    keys = keys_from_file(keys_file(EC_JWK))

    assert asyncio.run(keys.refresh_for("made-up")) is False


@pytest.mark.parametrize(
    ("kids", "why"),
    [
        pytest.param([None], None, id="one-without"),
        pytest.param(["a", "b"], None, id="two-names"),
        pytest.param(["a", None], "key 2 of 2 has no kid", id="one-of-two-without"),
        pytest.param([None, None], "key 1 of 2 has no kid", id="two-without"),
        pytest.param(["a", "a"], "a kid twice for one algorithm: ['a']", id="one-name-twice"),
    ],
)
def test_a_set_has_keys_that_a_token_can_tell_apart(
    kids: list[str | None], why: str | None
) -> None:
    """Whoever makes it in code is told, too: a guess would count as an answer."""
    keys = [
        dataclasses.replace(signing_key("ES256", str(place)).verification_key(), kid=kid)
        for place, kid in enumerate(kids)
    ]
    if why is None:
        assert len(StaticKeys(keys)) == len(kids)
    else:
        with pytest.raises(KeyProblem, match=re.escape(why)):
            StaticKeys(keys)


def test_a_key_for_verifying_verifies(keys_file: KeysFile) -> None:
    """It may say so, and may be for more than that."""
    for operations in (["verify"], ["sign", "verify"]):
        assert len(keys_from_file(keys_file(EC_JWK | {"key_ops": operations}))) == 1


def test_what_is_wrong_with_a_file_names_the_first_key_and_counts_the_others(
    keys_file: KeysFile,
) -> None:
    """An operator mends one after the other."""
    bad = EC_JWK | {"use": "enc"}
    told = []
    for count in (1, 2, 3):
        with pytest.raises(KeyProblem, match="has no usable key") as refused:
            keys_from_file(keys_file(*[bad] * count))
        told.append(str(refused.value).partition(" (and ")[2])

    assert told == ["", "1 more)", "2 more)"]
