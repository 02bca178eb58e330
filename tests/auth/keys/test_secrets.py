"""Tests of the secrets and signing keys of auth/itemwire_auth/keys/static.py."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.published import PUBLISHED_SECRETS
from itemwire_auth.keys.static import (
    keys_from_secret,
    signing_key_from_file,
    signing_key_from_secret,
)
from itemwire_auth.testing import encode, private_jwk, public_jwk, public_pem, signing_key
from itemwire_auth.tokens.minting import new_secret
from tests.auth.conftest import KeysFile

PAIR = signing_key("RS256")
PEM = public_pem(PAIR).decode()
PUBLIC = PAIR.verification_key().key
assert not isinstance(PUBLIC, bytes)
DER = PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PKCS1 = PUBLIC.public_bytes(Encoding.DER, PublicFormat.PKCS1)
SSH = PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("hunter2", "too short", id="short"),
        pytest.param("x" * 31, "too short", id="one-byte-short"),
        pytest.param("\udc80" * 40, "not valid text", id="undecodable"),
        pytest.param(PEM, "public key", id="pem"),
        pytest.param(f"\n {PEM}", "public key", id="pem-after-space"),
        pytest.param(PEM.replace("\n", "\r\n"), "public key", id="pem-crlf"),
        pytest.param(PEM.splitlines()[0] + "-" * 20, "public key", id="pem-first-line"),
        pytest.param(SSH, "public key", id="ssh"),
        pytest.param(f" {SSH}", "public key", id="ssh-after-space"),
        pytest.param(base64.b64encode(DER).decode(), "public key", id="der-base64"),
        pytest.param(encode(DER), "public key", id="der-base64url"),
        pytest.param("".join(PEM.splitlines()[1:-1]), "public key", id="pem-body"),
        pytest.param("\n".join(PEM.splitlines()[1:-1]), "public key", id="pem-body-lines"),
        pytest.param(base64.b64encode(PKCS1).decode(), "public key", id="pkcs1-base64"),
        pytest.param(base64.b64encode(PEM.encode()).decode(), "public key", id="pem-base64"),
        pytest.param(json.dumps(public_jwk(PAIR)), "public key", id="jwk"),
        pytest.param(json.dumps({"keys": [public_jwk(PAIR)]}), "public key", id="jwks"),
        pytest.param("a" * 36, "easy to guess", id="one-letter"),
        pytest.param("password" * 4, "easy to guess", id="repeat"),
        pytest.param("qwertyuiopASDFGHJKLzxcvbnm123456", "easy to guess", id="sequence"),
        *(pytest.param(known, "published", id=known[:20]) for known in sorted(PUBLISHED_SECRETS)),
    ],
)
def test_refuses_a_secret(secret: str, why: str) -> None:
    """A secret that others have makes every token theirs to mint (requirements 42, 48)."""
    with pytest.raises(KeyProblem, match=why) as refused:
        keys_from_secret(secret)

    assert not secret or secret not in str(refused.value)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(new_secret(), id="made-here"),
        pytest.param("kH3-vR8sT1wY5zA9bD2fG6jL0nQ4uX7c", id="32-bytes"),
        pytest.param("éàüößçñåøæþðîêûô", id="bytes-count-not-characters"),
        pytest.param("5b1c4f0a9e27d38860f2b7c41ad95e03", id="hex"),
        pytest.param("correct horse battery staple, and some more", id="words"),
    ],
)
def test_accepts_a_secret(secret: str) -> None:
    """The twin: what is long, private and unpublished verifies what it signs."""
    key = signing_key_from_secret(secret)
    found = keys_from_secret(secret).find(None)

    assert found is not None
    assert (found.kid, found.algorithm) == (None, "HS256")
    assert found.verifies(b"message", key.sign(b"message"))


def test_never_shows_a_secret() -> None:
    """Keys end up in tracebacks and debuggers' logs."""
    key = signing_key_from_secret(secret := new_secret())

    assert secret not in repr(key)
    assert secret not in repr(key.verification_key())


def test_signs_with_the_only_private_key(keys_file: KeysFile) -> None:
    """Keys that only verify do not count: the choice is clear without a name."""
    own = signing_key("ES256", "own")
    path = keys_file(private_jwk(own), public_jwk(signing_key("ES256", "other")))

    assert signing_key_from_file(path).verification_key() == own.verification_key()
    assert signing_key_from_file(path, "own").kid == "own"


def test_signs_with_the_key_named(keys_file: KeysFile) -> None:
    """During a rotation there are two: the operator says which, nothing is guessed."""
    old, new = signing_key("HS256", "old"), signing_key("HS256", "new")
    path = keys_file(private_jwk(old), private_jwk(new))

    assert signing_key_from_file(path, "old") == old
    assert signing_key_from_file(path, "new") == new
    with pytest.raises(KeyProblem, match="old, new"):
        signing_key_from_file(path)
    with pytest.raises(KeyProblem, match="no key with kid 'newer'"):
        signing_key_from_file(path, "newer")


def test_does_not_sign_with_a_public_key(keys_file: KeysFile) -> None:
    """The message says what is missing."""
    path = keys_file(public_jwk(signing_key("ES256", "other")))

    with pytest.raises(KeyProblem, match="`d`"):
        signing_key_from_file(path)


@pytest.mark.parametrize(
    ("operations", "signs"),
    [
        pytest.param(["sign"], True, id="sign"),
        pytest.param(["sign", "verify"], True, id="both"),
        pytest.param(["verify"], False, id="verify"),
    ],
)
def test_obeys_key_ops(operations: list[str], signs: bool, keys_file: KeysFile) -> None:
    """A key says what it is for (RFC 7517 section 4.3)."""
    own = signing_key("ES256", "own")
    path = keys_file(private_jwk(own) | {"key_ops": operations})

    if signs:
        assert signing_key_from_file(path).kid == "own"
    else:
        with pytest.raises(KeyProblem, match="no key that can sign"):
            signing_key_from_file(path)
