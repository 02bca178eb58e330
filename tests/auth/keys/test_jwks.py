"""Tests of keys/jwks.py: what is fetched and when, and what an issuer's bad day changes."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from itemwire_auth.errors import Unavailable
from itemwire_auth.keys.fetching import MAX_BYTES, Fetching
from itemwire_auth.keys.jwk import JWK
from itemwire_auth.keys.jwks import MAX_KEYS, JWKSKeys, kept_fresh
from itemwire_auth.testing import jwk_set, private_jwk, public_jwk, signing_key
from tests.auth.key_server import Answer, KeyServer, key_server

pytestmark = pytest.mark.server

A = signing_key("ES256", "a")
B = signing_key("EdDSA", "b")
OTHER_A = replace(signing_key("ES256", "other"), kid="a")
GOOD = jwk_set(public_jwk(A)).encode()


@pytest.fixture
def published() -> Iterator[KeyServer]:
    """Run an issuer that publishes key A."""
    with key_server() as server:
        server.publish(A)
        yield server


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def keys_of(published: KeyServer, clock: Clock | None = None, **options: float) -> JWKSKeys:
    """Fetch from a server of this machine, as only a test may."""
    fetching = Fetching(allow_http=True, **options)  # type: ignore[arg-type] # times only
    return JWKSKeys(published.url(), fetching, clock=clock or Clock())


def refreshed(keys: JWKSKeys) -> bool:
    """Fetch once."""
    return asyncio.run(keys.refresh())


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
    "redirect": Answer(status=302, headers={"Location": "/elsewhere"}, body=GOOD),
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
    "too_many_keys": Answer(
        jwk_set(*(public_jwk(A) | {"kid": str(n)} for n in range(MAX_KEYS + 1))).encode()
    ),
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
    "for_encryption": public_jwk(signing_key("RS256", "x")) | {"use": "enc", "alg": "RSA-OAEP"},
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


def test_an_issuer_that_gives_no_answer_is_no_verdict(published: KeyServer) -> None:
    """A key that it would have brought may be the one that is asked for (requirement 134)."""
    clock = Clock()
    good, published.answer = published.answer, Answer(status=503)
    keys = keys_of(published, clock, cooldown=30)

    def is_there(kid: str | None) -> bool:
        return asyncio.run(keys.refresh_for(kid))

    for kid in ("a", "made-up", None):  # the first fetches, the others are within the cooldown
        with pytest.raises(Unavailable, match="no answer"):
            is_there(kid)
    assert (keys.has_keys, len(published.paths)) == (False, 1)

    clock.now = 30
    published.answer = good
    assert is_there("a")
    assert keys.has_keys
    assert not is_there("made-up")  # the issuer has said which keys there are

    clock.now = 60
    published.answer = Answer(status=503)
    with pytest.raises(Unavailable):
        is_there("new")
    assert keys.find("a") is not None  # who comes with a known key notices nothing
    assert not is_there(None)  # one that names none of the keys is at fault itself


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


def test_a_flood_of_unknown_names_fetches_once_in_a_while(published: KeyServer) -> None:
    """A stranger makes up as many names as he likes (requirements 34 and 46)."""
    clock = Clock()
    keys = keys_of(published, clock, cooldown=30)

    async def flood() -> list[bool]:
        return [await keys.refresh_for(f"made-up-{n}") for n in range(100)]

    assert not any(asyncio.run(flood()))
    assert len(published.paths) == 1
    clock.now = 29.9
    assert not any(asyncio.run(flood()))
    assert len(published.paths) == 1

    published.publish(A, B)
    clock.now = 30
    assert asyncio.run(keys.refresh_for("b"))
    assert not any(asyncio.run(flood()))
    assert len(published.paths) == 2


def test_a_fetch_that_nobody_asked_for_does_not_delay_a_new_key(published: KeyServer) -> None:
    """A key that is published a second after the regular fetch works at once."""
    keys = keys_of(published, cooldown=30)
    refreshed(keys)
    published.publish(A, B)

    assert asyncio.run(keys.refresh_for("b"))


def test_a_token_without_kid_fetches_only_while_there_is_no_key(published: KeyServer) -> None:
    """With keys there it is the token that should have said which."""
    clock = Clock()
    keys = keys_of(published, clock, cooldown=30)

    assert asyncio.run(keys.refresh_for(None))
    clock.now = 30
    assert not asyncio.run(keys.refresh_for(None))
    assert len(published.paths) == 1


def test_all_who_ask_at_once_wait_for_one_fetch(published: KeyServer) -> None:
    """A rotation under a thousand handshakes is one request (single flight)."""
    keys = keys_of(published)
    published.publish(A, B)
    published.open.clear()

    async def scene() -> list[bool]:
        waiting = [asyncio.create_task(keys.refresh_for("b")) for _ in range(50)]
        await asyncio.to_thread(published.wait_for, 1)
        published.open.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(scene()) == [True] * 50
    assert len(published.paths) == 1


def test_one_who_gives_up_does_not_end_it_for_the_others(published: KeyServer) -> None:
    """The first client to ask may close its socket meanwhile."""
    keys = keys_of(published)
    published.open.clear()

    async def scene() -> bool:
        first, second = (asyncio.create_task(keys.refresh_for("a")) for _ in range(2))
        await asyncio.to_thread(published.wait_for, 1)
        first.cancel()
        await asyncio.wait([first])
        published.open.set()
        return await second

    assert asyncio.run(scene())
    assert len(published.paths) == 1


def test_is_fetched_at_the_start_and_kept_fresh(published: KeyServer) -> None:
    """A key that is taken out stops working without anybody asking; no task is left behind."""
    published.publish(A, B)
    keys = keys_of(published, refresh=0.001)

    async def scene() -> int:
        async with kept_fresh([keys]):
            assert keys.find("a") is not None
            published.publish(B)
            # The second request from now begins when the answer to the first was taken in.
            await asyncio.to_thread(published.wait_for, len(published.paths) + 2)
            assert keys.find("a") is None
            assert keys.find("b") is not None
        return len(asyncio.all_tasks())

    assert asyncio.run(scene()) == 1


def test_a_start_without_the_issuer_is_a_warning(
    published: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The server comes up and finds the keys when they are there, sooner than usual."""
    good, published.answer = published.answer, Answer(status=503)
    keys = keys_of(published, refresh=3600, cooldown=0.001)

    async def scene() -> None:
        async with kept_fresh([keys]):
            assert keys.find("a") is None
            assert [record.levelno for record in caplog.records] == [logging.WARNING]
            published.answer = good
            await asyncio.to_thread(published.wait_for, len(published.paths) + 1)
            assert await keys.refresh_for("a")

    asyncio.run(scene())
    assert keys.find("a") is not None


def test_a_stop_does_not_wait_for_an_answer(published: KeyServer) -> None:
    """A server that shuts down gives up what it was fetching."""
    keys = keys_of(published)

    async def scene() -> int:
        async with kept_fresh([keys]):
            published.open.clear()
            waiting = asyncio.create_task(keys.refresh_for("b"))
            await asyncio.to_thread(published.wait_for, 2)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return len(asyncio.all_tasks())

    assert asyncio.run(scene()) == 1


def test_a_fault_of_ours_is_not_the_last_fetch(
    published: KeyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the next one a removed key would work for ever."""
    keys = keys_of(published, refresh=0.001)

    async def scene() -> None:
        async with kept_fresh([keys]):
            crashed = asyncio.Event()

            def crash(_body: bytes) -> None:
                crashed.set()
                raise ZeroDivisionError("a fault of ours")

            with monkeypatch.context() as patch:
                patch.setattr(keys, "_usable", crash)
                published.publish(A, B)
                await asyncio.wait_for(crashed.wait(), 5)
            await asyncio.to_thread(published.wait_for, len(published.paths) + 2)

    asyncio.run(scene())
    assert "a fault of ours" in caplog.text
    assert keys.find("b") is not None


def test_environment_proxies_are_not_asked(
    published: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would look the name up itself, and decide who answers."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert refreshed(keys_of(published))
