"""Tests of tokens/issuers_file.py: what an operator writes about several issuers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.fetching import DEFAULTS
from itemwire_auth.keys.files import FileKeys
from itemwire_auth.keys.jwks import JWKSKeys
from itemwire_auth.testing import jwk_set, public_jwk, signing_key
from itemwire_auth.tokens.issuers import Issuer
from itemwire_auth.tokens.issuers_file import issuers_from_file
from itemwire_auth.tokens.minting import new_secret

SECRET = new_secret()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Provide the files and variables that the entries refer to."""
    monkeypatch.setenv("OWN_SECRET", SECRET)
    monkeypatch.setenv("WEAK_SECRET", "short")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "keys.json").write_text(jwk_set(public_jwk(signing_key("ES256", "a"))))


def load(*entries: object) -> dict[str, Issuer]:
    """Write the file and load it, from a working directory that is not its folder."""
    path = Path("folder/issuers.json")
    path.write_text(json.dumps(entries))
    return issuers_from_file(path, DEFAULTS, ("everyone",))


def test_loads_each_source_of_keys() -> None:
    """A keys file counts from the file's own folder; an audience may be one or several."""
    issuers = load(
        {"issuer": "a", "audience": "one", "keys_file": "keys.json", "algorithms": ["ES256"]},
        {"issuer": "b", "audience": ["one", "two"], "jwks_url": "https://b.test/keys"},
        {"issuer": "c", "secret_env": "OWN_SECRET"},
        {"issuer": "d", "audience": [], "secret_env": "OWN_SECRET"},
    )

    assert [(name, issuer.audience) for name, issuer in issuers.items()] == [
        ("a", ("one",)),
        ("b", ("one", "two")),
        ("c", ("everyone",)),
        ("d", ()),
    ]
    assert isinstance(issuers["a"].keys, FileKeys)
    assert issuers["a"].keys.find("a") is not None
    assert isinstance(issuers["b"].keys, JWKSKeys)
    key = issuers["c"].keys.find(None)
    assert key is not None
    assert key.key == SECRET.encode()


OWN = {"issuer": "a", "secret_env": "OWN_SECRET"}


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        pytest.param([], "names no issuer", id="none"),
        pytest.param([OWN, OWN], "issuer 2 .* there twice", id="twice"),
        pytest.param([OWN, {"issuer": "b"}], "issuer 2: .*exactly one", id="no-keys"),
        pytest.param([OWN | {"keys_file": "keys.json"}], "exactly one", id="two-sources"),
        pytest.param([{"secret_env": "OWN_SECRET"}], "issuer 1: issuer: .*required", id="no-name"),
        pytest.param([OWN | {"issuer": ""}], "issuer 1: issuer", id="empty-name"),
        pytest.param([OWN | {"issuer": 7}], "issuer 1: issuer", id="number"),
        pytest.param([OWN | {"audience": [""]}], "issuer 1: audience", id="empty-audience"),
        pytest.param([OWN | {"algorithms": ["none"]}], "issuer 1: algorithms", id="none-alg"),
        pytest.param([OWN | {"algorithms": ["ES256"]}], "HS256", id="alg-of-secret"),
        pytest.param([OWN | {"jwks": "x"}], "issuer 1: jwks: ", id="unknown-member"),
        pytest.param([{"issuer": "a", "secret_env": "NONE"}], "no variable NONE", id="no-variable"),
        pytest.param([{"issuer": "a", "secret_env": "WEAK_SECRET"}], "too short", id="weak"),
        pytest.param([{"issuer": "a", "jwks_url": "http://a.test"}], "issuer 1 .*https", id="http"),
        pytest.param([{"issuer": "a", "keys_file": "x"}], "issuer 1 .*cannot read", id="no-file"),
        pytest.param(
            [{"issuer": "a", "keys_file": "keys.json", "algorithms": ["EdDSA"]}],
            "none of the allowed algorithms",
            id="alg-of-key",
        ),
        pytest.param(["a"], "issuer 1", id="text"),
    ],
)
def test_refuses_to_start_with(entries: list[object], why: str) -> None:
    """Each message says which entry, and what to change; none shows a secret."""
    assert load(OWN)
    with pytest.raises(KeyProblem, match=why) as refused:
        load(*entries)

    assert SECRET not in str(refused.value)


def test_refuses_a_file_that_is_none() -> None:
    """No traceback for a typing error in a path or in the JSON."""
    Path("object.json").write_text(json.dumps(OWN))
    Path("text.json").write_text("issuer: a")

    for name, why in (("absent", "cannot read"), ("object", "array"), ("text", "JSON")):
        with pytest.raises(KeyProblem, match=why):
            issuers_from_file(Path(f"{name}.json"), DEFAULTS, ())
