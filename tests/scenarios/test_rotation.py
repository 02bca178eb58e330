"""Keys change at their issuer while a server runs."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory, confused, public_jwk, public_pem, signing_key
from tests.auth.key_server import KeyServer, key_server
from tests.conftest import SECRET
from tests.scenarios.conftest import Door, Serve

OLD = signing_key("ES256", "old")
NEW = signing_key("EdDSA", "new")
TOKENS = TokenFactory(OLD)
INVALID = "credentials_invalid"
CANNOT_JUDGE = Refusal(101, 1013, "overloaded")
DEGRADED = {"status": "degraded", "reason": "issuer_away", "retry": "later"}
METRICS_TOKEN = "m" * 40


@pytest.fixture
def published() -> Iterator[KeyServer]:
    """Run an issuer that publishes its old key."""
    with key_server() as server:
        server.publish(OLD)
        yield server


def settings_for(published: KeyServer, **more: object) -> Settings:
    """Write the settings of a server that trusts the issuer."""
    return Settings.model_validate(
        {
            "jwks_url": published.url(),
            "jwks_allow_http": True,
            "issuer": TOKENS.issuer,
            "audience": TOKENS.audience,
            "token_types": TOKENS.token_type,
        }
        | more
    )


def path_of(door: Door, key_name: str) -> str:
    """Write the path of a client with a new token of a key."""
    key = {"old": OLD, "new": NEW}.get(key_name) or dataclasses.replace(NEW, kid=key_name)
    return door.path(token=dataclasses.replace(TOKENS, key=key).good())


def test_keys_rotate_under_a_live_server(serve: Serve, published: KeyServer) -> None:
    """The new key works at once, the old one until it is taken out (requirements 46 and 47)."""
    with serve(settings_for(published, jwks_refresh=0.05)) as server:
        door = Door(server, "close", TOKENS)
        assert door.welcomes(path_of(door, "old"))
        assert door.refusal(path_of(door, "stranger")) == door.says(INVALID)

        published.publish(OLD, NEW)
        published.wait_for(len(published.paths) + 2)
        assert door.welcomes(path_of(door, "old"))
        assert door.welcomes(path_of(door, "new"))

        published.publish(NEW)
        published.wait_for(len(published.paths) + 2)
        assert door.refusal(path_of(door, "old")) == door.says(INVALID)
        assert door.welcomes(path_of(door, "new"))


def test_the_first_token_of_a_new_key_gets_in(serve: Serve, published: KeyServer) -> None:
    """The server fetches, once: those who make keys up start nothing more (requirements 34, 46)."""
    with serve(settings_for(published)) as server:
        door = Door(server, "close", TOKENS)
        published.publish(OLD, NEW)

        assert door.welcomes(path_of(door, "new"))
        for number in range(20):
            assert door.refusal(path_of(door, f"made-up-{number}")) == door.says(INVALID)
        assert door.welcomes(path_of(door, "new"))
        assert len(published.paths) == 2


def test_keys_that_a_token_brings_are_never_used(serve: Serve, published: KeyServer) -> None:
    """Neither one in its header nor one at an address in it (requirement 33)."""
    forger = dataclasses.replace(signing_key("ES256", "forger"), kid="old")
    forged = dataclasses.replace(TOKENS, key=forger)
    evil = published.url().replace("/keys", "/evil")
    headers: list[dict[str, object]] = [
        {"jku": evil},
        {"x5u": evil},
        {"jwk": public_jwk(forger)},
        {"jku": evil, "kid": "evil"},
    ]
    with serve(settings_for(published)) as server:
        door = Door(server, "close", TOKENS)
        for header in headers:
            token = forged.sign(forged.header(**header), forged.claims())
            assert door.refusal(door.path(token=token)) == door.says(INVALID)
        assert door.welcomes(path_of(door, "old"))
    assert set(published.paths) == {"/keys"}


def test_each_issuer_signs_for_itself(
    serve: Serve, published: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by its URL, one by a secret; neither can sign as the other (requirements 30 and 54)."""
    monkeypatch.setenv("BACKEND_SECRET", SECRET)
    path = tmp_path / "issuers.json"
    entries = [
        {"issuer": TOKENS.issuer, "jwks_url": published.url()},
        {"issuer": "backend", "audience": "inner", "secret_env": "BACKEND_SECRET"},
    ]
    path.write_text(json.dumps(entries))
    backend = TokenFactory(signing_key_from_secret(SECRET), issuer="backend", audience="inner")
    settings = settings_for(published, jwks_url=None, issuer=None, issuers_file=path)
    with serve(settings) as server:
        door = Door(server, "close", TOKENS)
        assert door.welcomes(door.path())
        assert door.welcomes(door.path(token=backend.good()))
        for forged in (
            dataclasses.replace(TOKENS, key=backend.key).good(),
            dataclasses.replace(backend, key=OLD).good(),
            confused(TOKENS, SECRET.encode()),
            confused(TOKENS, public_pem(OLD)),
            backend.good(iss=TOKENS.issuer, aud=TOKENS.audience),
            backend.good(iss="nobody"),
            backend.good(aud=TOKENS.audience),
        ):
            assert door.refusal(door.path(token=forged)) == door.says(INVALID)


def test_a_server_starts_without_its_issuer(serve: Serve, published: KeyServer) -> None:
    """It cannot judge, says so, and takes its callers when the keys are there (requirement 134)."""
    answer = published.answer
    published.answer = dataclasses.replace(answer, status=503)
    with serve(settings_for(published, jwks_cooldown=0.05)) as server:
        door = Door(server, "close", TOKENS)
        assert is_ready(server) == (503, {"status": "not_ready"})
        assert door.refusal(path_of(door, "old")) == CANNOT_JUDGE
        assert door.refusal(door.path(token="garbage")) == door.says(INVALID)
        publish = {"Authorization": f"Bearer {TOKENS.good()}"}
        told = httpx.post(f"{server.url}/items/1/messages", headers=publish, json=1)
        assert (told.status_code, told.json()["code"]) == (503, "overloaded")

        published.answer = answer
        published.wait_for(len(published.paths) + 1)
        assert door.welcomes(path_of(door, "old"))
        assert is_ready(server) == (200, {"status": "ready"})


def test_an_issuer_that_is_away_refuses_its_own_tokens_alone(
    serve: Serve, published: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callers of the others notice nothing; the server is degraded (requirement 134)."""
    monkeypatch.setenv("BACKEND_SECRET", SECRET)
    path = tmp_path / "issuers.json"
    entries = [
        {"issuer": TOKENS.issuer, "jwks_url": published.url()},
        {"issuer": "backend", "secret_env": "BACKEND_SECRET"},
    ]
    path.write_text(json.dumps(entries))
    backend = dataclasses.replace(TOKENS, key=signing_key_from_secret(SECRET), issuer="backend")
    published.answer = dataclasses.replace(published.answer, status=503)
    settings = settings_for(
        published,
        jwks_url=None,
        issuer=None,
        issuers_file=path,
        jwks_cooldown=0.05,
        metrics_token=METRICS_TOKEN,
    )
    with serve(settings) as server:
        door = Door(server, "close", TOKENS)

        assert is_ready(server) == (200, DEGRADED)
        assert metric(server, "itemwire_ready") == "1.0"
        assert metric(server, 'itemwire_degraded{fault="issuer_away"}') == "1.0"
        assert door.welcomes(door.path(token=backend.good()))
        assert door.refusal(path_of(door, "old")) == CANNOT_JUDGE
        assert door.refusal(door.path(token=backend.good(iss="nobody"))) == door.says(INVALID)

        published.answer = dataclasses.replace(published.answer, status=200)
        published.wait_for(len(published.paths) + 1)
        assert door.welcomes(path_of(door, "old"))
        assert is_ready(server) == (200, {"status": "ready"})
        assert metric(server, 'itemwire_degraded{fault="issuer_away"}') == "0.0"


def metric(server: LiveServer, name: str) -> str:
    """Read one number as Prometheus does."""
    bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    lines = httpx.get(f"{server.url}/metrics", headers=bearer).text.splitlines()
    return next(line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} "))


def is_ready(server: LiveServer) -> tuple[int, object]:
    """Ask as a load balancer does."""
    answer = httpx.get(f"{server.url}/health/ready")
    return answer.status_code, answer.json()
