"""Tests of errors.py: what a client may learn of each reason."""

from __future__ import annotations

import pytest

from itemwire_auth import errors
from itemwire_auth.errors import (
    AuthError,
    ChannelException,
    DuplicateCredential,
    Forbidden,
    InvalidCredential,
    InvalidTicket,
    PolicyUnavailable,
    RateLimited,
    RevokedToken,
    TooManyConnections,
    Unavailable,
    UnknownKey,
)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        pytest.param(errors.MissingCredential("m"), "credentials_missing", 401, id="missing"),
        pytest.param(errors.DuplicateCredential("query"), "credentials_invalid", 401, id="twice"),
        pytest.param(errors.DisagreeingCredentials("m"), "credentials_invalid", 401, id="disagree"),
        pytest.param(errors.InvalidToken("expiry", "m"), "credentials_invalid", 401, id="token"),
        pytest.param(errors.RevokedToken("m", "query"), "token_revoked", 401, id="revoked"),
        pytest.param(errors.InvalidTicket("m"), "ticket_invalid", 401, id="ticket"),
        pytest.param(errors.Unavailable("m"), "overloaded", 503, id="unavailable"),
        pytest.param(errors.OriginDenied("m"), "origin_denied", 403, id="origin"),
        pytest.param(errors.ScopeMissing("m"), "scope_missing", 403, id="scope"),
        pytest.param(errors.Forbidden("m"), "forbidden", 403, id="forbidden"),
        pytest.param(errors.Unauthenticated("m"), "credentials_invalid", 401, id="base-401"),
        pytest.param(errors.NotAllowed("m"), "forbidden", 403, id="base-403"),
        pytest.param(errors.RateLimited("m"), "rate_limited", 429, id="rate"),
        pytest.param(errors.TooManyConnections("m"), "connection_limit", 429, id="many"),
        pytest.param(errors.PolicyUnavailable("m"), "overloaded", 503, id="policy"),
        pytest.param(errors.NotNow("m"), "overloaded", 503, id="base-503"),
        pytest.param(AuthError("m"), "forbidden", 403, id="base"),
    ],
)
def test_has_a_stable_public_code(error: AuthError, code: str, status: int) -> None:
    """Clients act on codes; every fault of a credential shares one (requirement 40)."""
    assert (error.code, error.status) == (code, status)


def test_a_token_error_names_the_check() -> None:
    """The operator's log says which check failed; the client's code does not."""
    error = errors.InvalidToken("expiry", "it expired 5 s ago")

    assert error.check == "expiry"
    assert str(error) == "it expired 5 s ago"


def test_an_error_names_where_the_credential_was() -> None:
    """The log says it; a ticket is always in the query, under its own name."""
    assert RevokedToken("was revoked", "cookie").source == "cookie"
    assert DuplicateCredential("query").source == "query"
    assert "query" in str(DuplicateCredential("query"))
    assert InvalidTicket("used").source == "ticket"
    assert InvalidCredential("no").source is None
    assert UnknownKey("key", "not here", "k1").kid == "k1"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Forbidden, 1008),
        (RateLimited, 1008),
        (TooManyConnections, 1008),
        (Unavailable, 1013),
        (PolicyUnavailable, 1013),
    ],
)
def test_a_socket_is_closed_by_what_may_help(error: type[AuthError], code: int) -> None:
    """1013 says: try again later, nothing is wrong with you (RFC 6455 section 7.4)."""
    assert error.close_code == code


def test_a_reason_of_the_application_is_final_unless_it_says_otherwise() -> None:
    """A client that came back by itself would be refused again."""
    refusal = ChannelException("profanity")

    assert (refusal.code, refusal.retry) == ("profanity", "never")
    assert ChannelException("busy", retry="later").retry == "later"
    with pytest.raises(ValueError, match="it is a word"):
        ChannelException("Too bad")
