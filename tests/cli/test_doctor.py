"""`doctor`: its lines, its status, and that it shows no secret."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from itemwire.ops.doctor import doctor
from itemwire.ops.doctor.doctor import CHECKS
from itemwire.ops.doctor.findings import Finding, good
from itemwire.ops.doctor.visit import Visit
from itemwire.runbook import EVENTS
from itemwire_auth.tokens.minting import new_secret
from tests.cli.conftest import ITEMWIRE, CommandLine
from tests.docs.pages import ROOT

HIDDEN = "5up3r-h1dd3n"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a good secret in the environment."""
    made = new_secret()
    monkeypatch.setenv("ITEMWIRE_SECRET", made)
    return made


def test_a_good_server_ends_with_0(itemwire: CommandLine, secret: str) -> None:
    """A line for each thing that was looked at, and warnings are no faults."""
    result = itemwire("doctor")

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    assert {line.split()[1] for line in lines} >= {"settings", "descriptors", "keys", "engine"}


def test_a_fault_ends_with_1_and_says_what_to_do(
    itemwire: CommandLine, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As monitoring reads it."""
    monkeypatch.setenv("ITEMWIRE_ENGINE_URL", "sqlite:////nowhere/wire.db")

    told = itemwire("doctor", "--json")
    report = json.loads(told.stdout)

    assert told.exit_code == 1
    assert report["ok"] is False
    assert [one for one in report["findings"] if one["level"] == "fault"] == [
        {
            "check": "engine",
            "level": "fault",
            "says": "there is no folder /nowhere",
            "remedy": "make it",
        }
    ]


def test_wrong_settings_are_told_by_name(
    itemwire: CommandLine, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them at once, and without their values."""
    monkeypatch.setenv("ITEMWIRE_PORT", HIDDEN)
    monkeypatch.setenv("ITEMWIRE_METRICS_TOKEN", HIDDEN)

    result = itemwire("doctor")

    assert result.exit_code == 1
    assert result.stdout.count("\nfault") + result.stdout.startswith("fault") == 2
    assert "ITEMWIRE_PORT" in result.stdout
    assert "ITEMWIRE_METRICS_TOKEN" in result.stdout
    assert HIDDEN not in result.output


@pytest.mark.parametrize("url", ["example.com", "ftp://host", "https://me:word@host"])
def test_a_public_url_is_a_url(url: str, itemwire: CommandLine, secret: str) -> None:
    """And has no password in it, which every list of processes would show."""
    result = itemwire("doctor", "--public-url", url)

    assert result.exit_code == 2
    assert "write https://host" in result.output


def test_no_secret_is_shown(
    itemwire: CommandLine, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is set, and wherever it leads: the output ends in a ticket or a chat."""
    signing = f"whsec_{base64.b64encode(HIDDEN.encode() * 2).decode()}"
    token = f"eyJhbGciOiJIUzI1NiJ9.{HIDDEN}.{HIDDEN}"
    for name, value in {
        "ENGINE_URL": f"redis://me:{HIDDEN}@127.0.0.1:1/0",
        "METRICS_TOKEN": HIDDEN * 4,
        "POLICY_URL": f"http://127.0.0.1:1/policy?key={HIDDEN}",
        "POLICY_TOKEN": HIDDEN,
        "WEBHOOK_URL": f"http://127.0.0.1:1/hook?key={HIDDEN}",
        "WEBHOOK_SECRET": signing,
        "TOKEN": token,
    }.items():
        monkeypatch.setenv(f"ITEMWIRE_{name}", value)

    for options in ((), ("--json",)):
        result = itemwire("doctor", "--public-url", "http://127.0.0.1:1", *options)

        assert result.exit_code == 1
        for hidden in (HIDDEN, secret, signing, token):
            assert hidden not in result.output


def test_what_is_logged_is_a_line_of_the_report(secret: str, tmp_path: Path) -> None:
    """And stands nowhere else: nothing is printed beside the report."""
    keys = {"ITEMWIRE_JWKS_URL": "http://127.0.0.1:1/jwks", "ITEMWIRE_JWKS_ALLOW_HTTP": "true"}
    own = {name: value for name, value in os.environ.items() if name != "ITEMWIRE_SECRET"}
    done = subprocess.run(
        [ITEMWIRE, "doctor"],
        env=own | keys,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count(EVENTS["jwks_failed"]) == 2  # that there is no key, and why
    assert "jwks_failed source=" in done.stdout


def test_a_check_that_fails_ends_no_other(
    itemwire: CommandLine, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own fault is a fault, and its text, which may be a part of a secret, is not shown."""

    async def broken(visit: Visit) -> AsyncIterator[Finding]:
        yield good(f"{len(visit.settings.model_fields_set)} files")
        raise RuntimeError(HIDDEN)

    monkeypatch.setitem(doctor.CHECKS, "files", broken)
    result = itemwire("doctor")

    assert result.exit_code == 1
    assert f"the check has failed with RuntimeError: {doctor.OWN_FAULT}" in result.stdout
    assert "keys" in result.stdout
    assert HIDDEN not in result.output


def test_the_page_names_every_check() -> None:
    """A reader of the report looks there."""
    page = (ROOT / "docs" / "operations.md").read_text().partition("\n## The doctor\n")[2]

    assert [name for name in CHECKS if f"| `{name}` |" not in page] == []
