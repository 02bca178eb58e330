"""`token mint` and `token inspect`."""

import json
import re
from pathlib import Path

import jwt
import pytest

from itemwire.cli.tokens import SOURCES
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import signing_key
from itemwire_auth.tokens.minting import mint, new_secret
from tests.auth.key_server import key_server
from tests.cli.conftest import CommandLine
from tests.policy_server import policy_server

SECRET = new_secret()


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's settings, as both commands read them."""
    monkeypatch.setenv("ITEMWIRE_SECRET", SECRET)
    monkeypatch.setenv("ITEMWIRE_ISSUER", "https://issuer.example")
    monkeypatch.setenv("ITEMWIRE_AUDIENCE", "itemwire")


def test_a_minted_token_passes_every_check(itemwire: CommandLine) -> None:
    """Issuer and audience are taken from the settings."""
    token = itemwire("token", "mint", "--subject", "alice", "--scope", "items:subscribe").stdout

    result = itemwire("token", "inspect", stdin=token)

    assert result.exit_code == 0
    assert result.stdout.endswith("accepted\n")
    assert "FAILED" not in result.stdout


def test_claims_may_be_json_or_text(itemwire: CommandLine) -> None:
    """For rights in the `items` map, and for an application's own claims."""
    arguments = ("--claim", 'items={"a:*": ["subscribe"]}', "--claim", "team=red", "--json")
    token = json.loads(itemwire("token", "mint", "--subject", "alice", *arguments).stdout)["token"]

    result = itemwire("token", "inspect", token, "--json")

    assert json.loads(result.stdout)["accepted"] is True


@pytest.mark.parametrize(
    ("faults", "check"),
    [
        pytest.param({"lifetime": -10}, "expiry", id="expired"),
        pytest.param({"issuer": "https://other.example"}, "issuer", id="issuer"),
        pytest.param({"audience": "other"}, "audience", id="audience"),
        pytest.param({"subject": ""}, "subject", id="subject"),
    ],
)
def test_says_which_check_fails_and_why(
    itemwire: CommandLine, faults: dict[str, object], check: str
) -> None:
    """What a stranger is not told, an operator is."""
    claims: dict[str, object] = {
        "subject": "alice",
        "lifetime": 60,
        "issuer": "https://issuer.example",
        "audience": "itemwire",
    }
    token = mint(signing_key_from_secret(SECRET), **(claims | faults))  # type: ignore[arg-type] # a table of faults

    text = itemwire("token", "inspect", token)
    report = json.loads(itemwire("token", "inspect", token, "--json").stdout)

    failed = [row for row in report["checks"] if row["passed"] is False]
    assert text.exit_code == 1
    assert "refused: credentials_invalid" in text.stdout
    assert [row["check"] for row in failed] == [check]
    assert _without_age(failed[0]["detail"]) in _without_age(text.stdout)


def _without_age(line: str) -> str:
    return re.sub(r"\d+ s ago", "some time ago", line)


def test_a_token_of_another_secret_fails_at_the_signature(itemwire: CommandLine) -> None:
    """The usual mistake: the application and the server do not share the secret."""
    key = signing_key_from_secret(new_secret())

    result = itemwire("token", "inspect", mint(key, subject="alice", lifetime=60))

    assert "FAILED  signature" in result.stdout


def test_a_key_of_a_file_signs(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A symmetric key of the set serves both ways."""
    key = {"kty": "oct", "kid": "k1", "k": "c2l4dHkgZm91ciBieXRlcyBvZiBzZWNyZXQgZm9yIEhTMjU2IQ"}
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [key]}))
    monkeypatch.delenv("ITEMWIRE_SECRET")
    monkeypatch.setenv("ITEMWIRE_KEYS_FILE", str(path))

    token = itemwire("token", "mint", "--subject", "alice", "--kid", "k1").stdout

    assert itemwire("token", "inspect", stdin=token).exit_code == 0


@pytest.mark.parametrize("command", ["mint", "inspect"])
def test_without_a_key_both_say_what_to_do(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """One line, no traceback."""
    monkeypatch.delenv("ITEMWIRE_SECRET")
    arguments = ["--subject", "alice"] if command == "mint" else ["x.y.z"]

    result = itemwire("token", command, *arguments)

    assert result.exit_code == 78
    assert "ITEMWIRE_SECRET" in result.stderr


def test_a_weak_secret_is_refused(itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it, and without printing it."""
    monkeypatch.setenv("ITEMWIRE_SECRET", "hunter2")

    for arguments in (("mint", "--subject", "alice"), ("inspect", "x.y.z")):
        result = itemwire("token", *arguments)

        assert result.exit_code == 78
        assert "hunter2" not in result.output


def test_a_claim_that_is_no_pair_is_refused(itemwire: CommandLine) -> None:
    """A typing error, named as such."""
    result = itemwire("token", "mint", "--subject", "alice", "--claim", "team")

    assert result.exit_code == 2
    assert "NAME=JSON" in result.stderr


def test_warns_of_a_token_that_the_server_would_refuse(itemwire: CommandLine) -> None:
    """A life of three years is past the server's own limit; its maker should know now."""
    arguments = ("token", "mint", "--subject", "alice", "--lifetime")

    long, short = itemwire(*arguments, "99999999"), itemwire(*arguments, "60")

    assert long.exit_code == 0
    assert "the server refuses this token" in long.stderr
    assert "(lifetime)" in long.stderr
    assert short.stderr == ""


def test_a_token_may_have_an_id_of_its_own(itemwire: CommandLine) -> None:
    """The one by which it is revoked; a random one stood in its place."""
    token = itemwire("token", "mint", "--subject", "alice", "--claim", "jti=lost").stdout.strip()

    assert jwt.decode(token, options={"verify_signature": False})["jti"] == "lost"


@pytest.mark.parametrize("name", SOURCES)
def test_a_claim_that_would_be_lost_is_refused(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With where it comes from: the command writes it itself."""
    monkeypatch.setenv("ITEMWIRE_ISSUER", "https://id.example")
    monkeypatch.setenv("ITEMWIRE_AUDIENCE", "wire")
    mint = ("token", "mint", "--subject", "alice", "--scope", "items:subscribe")
    refused = itemwire(*mint, "--claim", f"{name}=other")
    accepted = itemwire(*mint, "--claim", "aud=wire", "--claim", "iss=https://id.example")

    assert refused.exit_code == 2
    assert f"{name!r} comes from {SOURCES[name]}" in refused.stderr
    assert accepted.exit_code == 0


@pytest.mark.parametrize("name", ["now", "issuer", "claims", "signing_key"])
def test_a_claim_may_have_any_name(itemwire: CommandLine, name: str) -> None:
    """The names of our own parameters are nothing special to who mints."""
    claim = ("--claim", f"{name}=5")
    token = itemwire("token", "mint", "--subject", "alice", *claim).stdout.strip()

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims[name] == 5
    assert itemwire("token", "inspect", token).exit_code == 0


def test_inspects_a_token_with_fetched_keys(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the server would: a URL's keys are fetched first."""
    monkeypatch.delenv("ITEMWIRE_SECRET")
    key = signing_key("ES256", "a")
    token = mint(
        key, subject="a", lifetime=60, issuer="https://issuer.example", audience="itemwire"
    )
    with key_server() as published:
        monkeypatch.setenv("ITEMWIRE_JWKS_URL", published.url())
        monkeypatch.setenv("ITEMWIRE_JWKS_ALLOW_HTTP", "true")

        assert itemwire("token", "inspect", token).exit_code == 1
        published.publish(key)
        assert itemwire("token", "inspect", token).exit_code == 0


def test_says_what_the_rights_decide_of_an_item(itemwire: CommandLine) -> None:
    """The checks of the token first, then the item's, in the order in which they are made."""
    scope = ("--scope", "items:7:publish items:subscribe")
    token = itemwire("token", "mint", "--subject", "alice", *scope).stdout.strip()

    granted = itemwire("token", "inspect", token, "--item", "7", "--action", "publish")
    refused = itemwire("token", "inspect", token, "--item", "8", "--action", "publish")
    listed = itemwire("token", "inspect", token, "--item", "8")

    assert granted.stdout.endswith("ok  action\naccepted\n")
    assert refused.stdout.endswith("is not granted publish here\nrefused: forbidden\n")
    assert "TokenRights: subscribe" in listed.stdout
    assert [run.exit_code for run in (granted, refused, listed)] == [0, 1, 0]


def test_a_program_may_read_the_decision(itemwire: CommandLine) -> None:
    """With the reason that a client would be given, or null."""
    token = itemwire("token", "mint", "--subject", "alice").stdout.strip()

    report = json.loads(itemwire("token", "inspect", token, "--item", "7", "--json").stdout)
    bad = json.loads(itemwire("token", "inspect", "x.y.z", "--item", "7", "--json").stdout)

    assert (report["accepted"], report["reason"]) == (False, "scope_missing")
    assert (bad["accepted"], bad["reason"]) == (False, "credentials_invalid")
    assert [row["check"] for row in report["checks"]][-2:] == ["item", "policy"]


def test_asks_the_policy_that_the_server_asks(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would explain what does not happen."""
    token = itemwire("token", "mint", "--subject", "alice").stdout.strip()
    arguments = ("token", "inspect", token, "--item", "7", "--action", "subscribe")

    with policy_server() as application:
        monkeypatch.setenv("ITEMWIRE_POLICY_URL", application.url)
        granted = itemwire(*arguments)
        application.answer = lambda _: (503, b"", {})
        unanswered = itemwire(*arguments)

    assert "PolicyURL: subscribe" in granted.stdout
    assert (granted.exit_code, unanswered.exit_code) == (0, 1)
    assert unanswered.stdout.endswith("refused: overloaded\n")
    assert "the policy answered 503" in unanswered.stdout


def test_an_action_needs_an_item(itemwire: CommandLine) -> None:
    """Rights are rights on something."""
    result = itemwire("token", "inspect", "x.y.z", "--action", "publish")

    assert result.exit_code == 2
    assert "--item" in result.stderr
