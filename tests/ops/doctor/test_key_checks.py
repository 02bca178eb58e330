"""What the doctor says of keys, and of the clock of whoever publishes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from itemwire.ops.doctor.clocks import compared, of_issuer
from itemwire.ops.doctor.doctor import examine
from itemwire.ops.doctor.findings import Finding, Level
from itemwire.ops.doctor.key_checks import check_issuer_clocks, check_keys
from itemwire.ops.doctor.visit import Visit
from itemwire.runbook import EVENTS
from itemwire.settings import Settings
from itemwire_auth.testing import jwk_set, public_jwk
from tests.auth.key_server import Answer, KeyServer, key_server
from tests.auth.keys.fetched_keys import A
from tests.conftest import SECRET
from tests.ops.doctor.findings import found, remedies, said


@pytest.fixture
def issuer() -> Iterator[KeyServer]:
    """Run an issuer that publishes a key."""
    with key_server() as server:
        server.publish(A)
        yield server


def visit(**given: object) -> Visit:
    """Visit a server with these settings, and keys from where they say."""
    return Visit(Settings.model_validate({"jwks_allow_http": True, **given}))


def test_a_secret_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not shown."""
    report = found(check_keys, visit(secret=SECRET))

    assert [one.says for one in report] == ["ITEMWIRE_SECRET has 1 of HS256"]


def test_a_weak_secret_is_a_fault() -> None:
    """With how to make a good one."""
    report = found(check_keys, visit(secret="short"))

    assert len(remedies(report)) == 1
    assert "secrets.token_urlsafe" in said(report)


def test_keys_of_a_file_are_counted(tmp_path: Path) -> None:
    """With the age of the file."""
    path = tmp_path / "keys.json"
    path.write_text(jwk_set(public_jwk(A)))
    report = found(check_keys, visit(keys_file=path))

    assert [one.says for one in report] == [
        "ITEMWIRE_KEYS_FILE has 1 of ES256",
        "ITEMWIRE_KEYS_FILE was changed 0 days ago",
    ]


def test_published_keys_are_fetched(issuer: KeyServer) -> None:
    """And the clock of their server is compared."""
    here = visit(jwks_url=issuer.url())

    assert [one.says for one in found(check_keys, here)] == ["ITEMWIRE_JWKS_URL has 1 of ES256"]
    assert [one.level for one in found(check_issuer_clocks, here)] == [Level.OK]


def test_an_issuer_that_gives_no_keys_is_a_fault(issuer: KeyServer) -> None:
    """With what the page says to do about the event of it."""
    issuer.answer = Answer(status=500)
    report = found(check_keys, visit(jwks_url=issuer.url()))

    assert remedies(report) == {EVENTS["jwks_failed"]}


def test_a_key_that_is_left_out_is_told_as_in_the_log(issuer: KeyServer) -> None:
    """With what docs/operations.md says to do about that line."""
    issuer.answer = Answer(jwk_set(public_jwk(A), {"kty": "RSA", "kid": "broken"}).encode())

    async def warnings() -> list[Finding]:
        return [one async for name, one in examine(visit(jwks_url=issuer.url())) if name == "keys"]

    report = asyncio.run(warnings())

    assert remedies(report, Level.WARNING) == {EVENTS["jwks_key_left_out"]}


@pytest.mark.parametrize(("ahead", "level"), [(4, Level.WARNING), (-120, Level.FAULT)])
def test_a_clock_that_is_off_is_told(
    ahead: float, level: Level, issuer: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to some seconds nothing is refused for it."""

    def date(_handler: object, _timestamp: float | None = None) -> str:
        return formatdate(time.time() + ahead, usegmt=True)

    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", date)
    report = found(check_issuer_clocks, visit(jwks_url=issuer.url()))

    assert [one.level for one in report] == [level], said(report)


@pytest.mark.parametrize(
    ("theirs", "leeway", "level"),
    [
        (1000.0, 0, Level.OK),
        (1001.9, 0, Level.OK),
        (1004.0, 0, Level.WARNING),
        (996.0, 0, Level.WARNING),
        (1006.0, 0, Level.FAULT),
        (994.0, 0, Level.FAULT),
        (1006.0, 10, Level.WARNING),
    ],
)
def test_draws_the_line_of_a_clock(theirs: float, leeway: float, level: Level) -> None:
    """Where good tokens begin to be refused."""
    assert compared(of_issuer("it"), theirs, 1000.0, leeway).level == level
