"""Tests of keys/jwks.py: which keys of a published set are used, and what a bad answer changes."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from dataclasses import replace
from typing import cast

import pytest

from itemwire_auth.keys.fetching import MAX_BYTES, Fetching
from itemwire_auth.keys.jwk import JWK
from itemwire_auth.keys.jwks import JWKSKeys
from itemwire_auth.testing import jwk_set, private_jwk, public_jwk, signing_key
from tests.auth.key_server import Answer, KeyServer
from tests.auth.keys.fetched_keys import A, B, keys_of, refreshed
from tests.auth.odd_urls import REDIRECTS

pytestmark = pytest.mark.server

OTHER_A = replace(signing_key("ES256", "other"), kid="a")
GOOD = jwk_set(public_jwk(A)).encode()


def test_finds_what_is_published_by_its_exact_name(published: KeyServer) -> None:
    """The public half of the issuer's key, and no key for a name that is not there."""
    published.publish(A, B)
    keys = keys_of(published)

    assert keys.is_stale  # nothing was fetched yet
    assert keys.find("a") is None
    assert refreshed(keys)
    assert keys.find("a") == A.verification_key()
    assert keys.find("b") == B.verification_key()
    assert keys.find("A") is keys.find("c") is keys.find(None) is None
    assert (keys.fetches, keys.failures, published.paths) == (1, 0, ["/keys"])
    assert not keys.is_stale


BAD_ANSWERS = {
    "failing": Answer(status=500, body=GOOD),
    "not_found": Answer(status=404, body=GOOD),
    "no_content": Answer(status=204),
    **{
        f"redirect_{name}": Answer(
            status=302, headers={"Location": location.encode().decode("latin-1")}, body=GOOD
        )
        for name, location in REDIRECTS.items()
    },
    "redirect_for_good": Answer(status=308, headers={"Location": "/elsewhere"}),
    "html": Answer(b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"}),
    "empty": Answer(b""),
    "no_set": Answer(json.dumps(public_jwk(A)).encode()),
    "no_keys": Answer(b'{"keys": []}'),
    "key_is_text": Answer(b'{"keys": ["a"]}'),
    "name_twice": Answer(b'{"keys": [], "keys": [{}]}'),
    "utf_16": Answer(GOOD.decode().encode("utf-16")),
    "deep": Answer(b'{"keys":' + b"[" * 5000),
    "compressed": Answer(gzip.compress(GOOD), headers={"Content-Encoding": "gzip"}),
    "huge": Answer(GOOD + b" " * MAX_BYTES),
    "endless": Answer(b" " * 65_536, parts=10_000),
    "only_one_kid_twice": Answer(jwk_set(public_jwk(A), public_jwk(OTHER_A)).encode()),
    "only_secrets": Answer(jwk_set(private_jwk(signing_key("HS256", "a"))).encode()),
    "only_private_keys": Answer(jwk_set(private_jwk(A)).encode()),
    "only_for_encryption": Answer(jwk_set(public_jwk(A) | {"use": "enc"}).encode()),
}


@pytest.mark.parametrize("answer", [pytest.param(it, id=name) for name, it in BAD_ANSWERS.items()])
def test_a_bad_answer_changes_nothing(
    answer: Answer, published: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The last good set is kept, whatever comes, and a line says so (requirement 46)."""
    keys = keys_of(published)
    assert refreshed(keys)
    known = keys.find("a")

    published.answer = answer
    assert not refreshed(keys)
    assert keys.find("a") is known is not None
    assert keys.failures == 1
    assert keys.is_stale
    assert "jwks_failed" in caplog.text
    assert "/elsewhere" not in published.paths

    published.publish(A, B)
    assert refreshed(keys)
    assert keys.find("a") is known
    assert keys.find("b") is not None


def test_gives_up_on_a_server_that_does_not_answer(
    published: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A handshake that waits for a key waits for seconds at most."""
    keys = keys_of(published, timeout=0.05)
    published.open.clear()

    assert not refreshed(keys)
    assert "no answer in time" in caplog.text

    published.open.set()
    assert refreshed(keys_of(published))


def test_gives_up_where_nobody_listens(published: KeyServer) -> None:
    """A closed port is a failure as any other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    keys = JWKSKeys(f"http://127.0.0.1:{nobody}/", Fetching(allow_http=True))

    assert not refreshed(keys)
    assert refreshed(keys_of(published))


LEFT_OUT: dict[str, object] = {
    "for_encryption": public_jwk(signing_key("RS256"))
    | {"kid": "x", "use": "enc", "alg": "RSA-OAEP"},
    "unknown_curve": public_jwk(A) | {"kid": "x", "crv": "secp256k1", "alg": "ES256K"},
    "unknown_type": {"kty": "AKP", "kid": "x", "alg": "ML-DSA-44", "pub": "AAAA"},
    "secret": private_jwk(signing_key("HS256", "x")),
    "secret_as_public_key": {"kty": "oct", "kid": "x"},
    "private": private_jwk(signing_key("ES256", "x")),
    "weak": {"kty": "RSA", "kid": "x", "n": "w" * 170, "e": "AQAB"},
    "damaged": public_jwk(A) | {"kid": "x", "x": "AAAA"},
    "without_kid": public_jwk(signing_key("ES256")),
    "kid_number": public_jwk(A) | {"kid": 7},
    "no_object": ["x"],
    "null": None,
}


@pytest.mark.parametrize("jwk", [pytest.param(it, id=name) for name, it in LEFT_OUT.items()])
def test_leaves_out_what_is_not_for_us(
    jwk: object, published: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An issuer publishes keys for others too; a secret everybody knows (requirements 42 to 45).

    None of them spoils the key beside it (requirement 135).
    """
    published.answer = Answer(json.dumps({"keys": [jwk, public_jwk(A)]}).encode())
    keys = keys_of(published)

    assert refreshed(keys)
    assert keys.find("a") is not None
    assert keys.find("x") is None
    assert "jwks_key_left_out" in caplog.text
    members = cast("JWK", jwk) if isinstance(jwk, dict) else {}
    assert not any(str(it) in caplog.text for it in members.values() if len(str(it)) > 20)


@pytest.mark.parametrize(
    ("published_twice", "is_left_out"),
    [
        pytest.param(public_jwk(A), False, id="the-same-key"),
        pytest.param(public_jwk(B) | {"kid": "a"}, False, id="another-type"),
        pytest.param(public_jwk(A) | {"use": "enc"}, False, id="another-use"),
        pytest.param(public_jwk(OTHER_A), True, id="another-key-of-this-algorithm"),
    ],
)
def test_a_set_may_name_a_kid_twice(
    published_twice: JWK,
    is_left_out: bool,
    published: KeyServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """RFC 7517 section 4.5; only a true conflict is left out, and named (requirement 135)."""
    other = signing_key("ES384", "c")
    published.answer = Answer(jwk_set(public_jwk(A), published_twice, public_jwk(other)).encode())
    keys = keys_of(published)

    assert refreshed(keys)
    assert keys.find("c") == other.verification_key()
    found = keys.find("a", "ES256")
    assert (found is None) is is_left_out
    assert ("has kid 'a' twice for ES256" in caplog.text) is is_left_out
    assert asyncio.run(keys.refresh_for("a")) is not is_left_out


def test_a_key_without_a_name_is_used_where_it_is_the_only_usable_one(
    published: KeyServer,
) -> None:
    """What cannot be used beside it does not make it ambiguous (requirement 135)."""
    nameless = signing_key("ES256")
    published.answer = Answer(
        jwk_set(public_jwk(nameless), public_jwk(A) | {"use": "enc"}).encode()
    )
    keys = keys_of(published)

    assert refreshed(keys)
    assert keys.find(None) == nameless.verification_key()


def test_a_key_that_stays_is_the_same_object(published: KeyServer) -> None:
    """So tokens that it verified are known again, also when another key comes beside it."""
    keys = keys_of(published)
    refreshed(keys)
    known = keys.find("a")

    published.publish(B, A)
    refreshed(keys)
    assert keys.find("a") is known

    other = public_jwk(signing_key("ES256", "another")) | {"kid": "a"}
    published.answer = Answer(jwk_set(other).encode())
    refreshed(keys)
    assert keys.find("a") not in (None, known)


def test_a_key_that_is_taken_out_is_gone(published: KeyServer) -> None:
    """It was taken out because it leaked (requirement 47)."""
    published.publish(A, B)
    keys = keys_of(published)
    refreshed(keys)

    published.publish(B)
    refreshed(keys)

    assert keys.find("a") is None
    assert keys.find("b") is not None


def test_environment_proxies_are_not_asked(
    published: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would look the name up itself, and decide who answers."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert refreshed(keys_of(published))
