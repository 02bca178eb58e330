"""Tests of audit.py: one line each, complete, and safe to print."""

from __future__ import annotations

import logging

import pytest

from itemwire_auth.audit import (
    LOGGED_LENGTH,
    client_label,
    log_administered,
    log_authenticated,
    log_refused,
    quoted,
)
from itemwire_auth.errors import DuplicateCredential, InvalidToken, OriginDenied
from itemwire_auth.principal import Principal
from itemwire_auth.rights import ScopeSet
from tests.auth.handshakes import handshake


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    """Record everything."""
    caplog.set_level(logging.DEBUG, "itemwire.auth")


def test_says_who_came_in(caplog: pytest.LogCaptureFixture) -> None:
    """Who, from where, to what (requirement 104)."""
    connection = handshake("token=a.b.c", [("Origin", "https://a.test")])
    principal = Principal("https://issuer.test", "alice", ScopeSet(), 0)

    log_authenticated(connection, principal, "query")

    (line,) = caplog.messages
    assert line == (
        "authenticated issuer='https://issuer.test' subject='alice' source=query "
        "client=192.0.2.7:50000 origin='https://a.test' item='42'"
    )


def test_says_why_not(caplog: pytest.LogCaptureFixture) -> None:
    """The cause that the client is not told, for anyone who has to help it (requirement 40)."""
    error = InvalidToken("expiry", "it expired 5 s ago")
    error.source = "query"

    log_refused(handshake("token=a.b.c"), error)

    (line,) = caplog.messages
    assert line == (
        "refused reason=credentials_invalid check=expiry source=query client=192.0.2.7:50000 "
        "origin=None item='42' detail='it expired 5 s ago'"
    )
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("error", [DuplicateCredential("cookie"), OriginDenied("foreign")])
def test_never_shows_a_query_or_a_cookie(
    error: DuplicateCredential | OriginDenied, caplog: pytest.LogCaptureFixture
) -> None:
    """Credentials travel there (requirement 20)."""
    headers = [("Cookie", "session=s3cret"), ("Authorization", "Bearer s3cret")]

    log_refused(handshake("token=s3cret", headers, subprotocols=["itemwire.token.s3cret"]), error)

    assert "s3cret" not in caplog.text


def test_an_attacker_cannot_write_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Line breaks and terminal escapes of an item, an origin or a claim come out as escapes."""
    connection = handshake(headers=[("Origin", "a\r\nb")], item_id="42\nauthenticated \x1b[2J")

    log_refused(connection, InvalidToken("issuer", "iss is 'x\ny'"))

    assert "\n" not in caplog.messages[0]
    assert "\x1b" not in caplog.messages[0]


@pytest.mark.parametrize("value", ["a" * 100_000, ["a" * 100_000], "\0" * 100_000])
def test_cuts_what_a_caller_sends(value: object) -> None:
    """One handshake cannot fill the log."""
    assert len(quoted(value)) <= LOGGED_LENGTH + 1


def test_a_connection_without_an_address_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    """A Unix socket has no client address."""
    connection = handshake()
    connection.scope["client"] = None

    log_refused(connection, OriginDenied("foreign"))

    assert "client=- " in caplog.messages[0]


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        pytest.param(("192.0.2.7", 50000), "192.0.2.7:50000", id="ipv4"),
        pytest.param(("::ffff:192.0.2.7", 50000), "192.0.2.7:50000", id="mapped"),
        pytest.param(("2001:db8::1", 50000), "[2001:db8::1]:50000", id="ipv6"),
        pytest.param(("192.0.2.7", None), "192.0.2.7", id="no-port"),
        pytest.param(("testclient", 50000), "'testclient'", id="no-address"),
        pytest.param(
            ("a subject=root\nrefused", 0), "'a subject=root\\nrefused'", id="forged-fields"
        ),
        pytest.param(("x" * 60_000, 0), f"'{'x' * (LOGGED_LENGTH - 1)}…", id="long"),
        pytest.param(None, "-", id="none"),
    ],
)
def test_shows_a_client_on_one_line_and_as_one_field(
    client: tuple[str, int | None] | None, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """X-Forwarded-For of a trusted proxy may be a stranger's words: they make no field."""
    connection = handshake()
    connection.scope["client"] = client

    log_refused(connection, OriginDenied("foreign"))

    assert f" client={shown} origin=" in caplog.messages[0]
    assert client_label(connection.scope) == shown


def test_says_what_an_administrator_did(caplog: pytest.LogCaptureFixture) -> None:
    """Who did what to whom, on one line whatever the names are (requirement 104)."""
    admin = Principal("https://issuer.test", "root", ScopeSet(), 0)

    log_administered(handshake(), admin, "revoke", {"subject": "a\nb", "closed": 3})

    (line,) = caplog.messages
    assert line == (
        "administered action=revoke subject='a\\nb' closed=3 by='root' "
        "by_issuer='https://issuer.test' client=192.0.2.7:50000"
    )


@pytest.mark.parametrize(
    ("value", "kept"),
    [("a\nb", "a\nb"), ("x" * 999, "x" * LOGGED_LENGTH), (None, None), (7, "7"), (["a"], "['a']")],
)
def test_keeps_a_value_for_formats_that_quote_by_themselves(
    value: object, kept: str | None
) -> None:
    """JSON writes text as it is and nothing as null; anything else as a text log shows it."""
    assert quoted(value).value == kept
