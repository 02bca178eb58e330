"""Tests of RFC 8725 section 2.1: a public key, in whatever form, is never an HMAC secret."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from itemwire_auth.errors import InvalidToken
from itemwire_auth.testing import TokenFactory, confused, public_jwk, signing_key
from tests.auth.conftest import verifier_of

PAIR = signing_key("RS256", "a")


def texts() -> Iterator[tuple[str, bytes]]:
    """Write the public key in every way that tools write one as text."""
    key = PAIR.verification_key().key
    assert isinstance(key, RSAPublicKey)
    jwk = public_jwk(PAIR)
    yield "spki-pem", key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    yield "pkcs1-pem", key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    yield "ssh", key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n"
    yield "jwk", json.dumps(jwk).encode() + b"\n"
    yield "jwk-compact", json.dumps(jwk, separators=(",", ":")).encode() + b"\n"
    yield "jwk-sorted", json.dumps(jwk, sort_keys=True).encode() + b"\n"
    yield "jwk-bare", json.dumps({name: jwk[name] for name in ("kty", "n", "e")}).encode() + b"\n"
    yield "jwks", json.dumps({"keys": [jwk]}).encode() + b"\n"
    yield "jwks-indented", json.dumps({"keys": [jwk]}, indent=2).encode() + b"\n"


def blobs() -> Iterator[tuple[str, bytes]]:
    """Write the public key in every way that tools write one as bytes."""
    key = PAIR.verification_key().key
    assert isinstance(key, RSAPublicKey)
    modulus = key.public_numbers().n
    yield "spki-der", key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    yield "pkcs1-der", key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    yield "modulus", modulus.to_bytes(256, "big")
    yield "modulus-signed", modulus.to_bytes(257, "big")
    yield "modulus-little", modulus.to_bytes(256, "little")
    yield "modulus-hex", f"{modulus:x}".encode()
    yield "modulus-decimal", str(modulus).encode()


def forms() -> Iterator[tuple[str, bytes]]:
    """Vary each way as files, shells and environments do."""
    for name, text in texts():
        yield name, text
        yield f"{name}-stripped", text.strip()
        yield f"{name}-crlf", text.replace(b"\n", b"\r\n")
        yield f"{name}-base64", base64.b64encode(text)
    for name, blob in blobs():
        yield name, blob
        yield f"{name}-base64", base64.b64encode(blob)
        yield f"{name}-base64url", base64.urlsafe_b64encode(blob).rstrip(b"=")


FORMS = dict(forms())


def test_tries_at_least_51_forms() -> None:
    """The list is as long as the requirement's, and no form stands in it twice."""
    assert len(set(FORMS.values())) >= 51


@pytest.mark.parametrize("form", FORMS)
def test_refuses_hmac_with_a_form_of_the_public_key(form: str, factory: TokenFactory) -> None:
    """The algorithm is the key's: no HMAC is even computed (requirement 32)."""
    server = dataclasses.replace(factory, key=PAIR)
    verifier = verifier_of(server)

    with pytest.raises(InvalidToken) as refused:
        verifier.verify(confused(server, FORMS[form]))

    assert refused.value.check == "algorithm"
    assert verifier.verify(server.good()).subject == "alice"


@pytest.mark.parametrize("named", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_refuses_another_algorithm_of_the_same_key(named: str, factory: TokenFactory) -> None:
    """One key, one algorithm: not even a sister of it (requirement 30, CVE-2026-48523)."""
    server = dataclasses.replace(factory, key=PAIR)
    sister = dataclasses.replace(server, key=dataclasses.replace(PAIR, algorithm=named))
    token = sister.good()

    with pytest.raises(InvalidToken) as refused:
        verifier_of(server).verify(token)

    assert refused.value.check == "algorithm"
