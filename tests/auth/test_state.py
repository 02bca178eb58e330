"""Tests of state.py: what is installed in an application is found there."""

from __future__ import annotations

import asyncio
import time

import pytest
from fastapi import FastAPI

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.policies import TokenRights
from itemwire_auth.revocation import Revocation
from itemwire_auth.scopes import Action
from itemwire_auth.state import (
    auth_of,
    explain_to,
    install_state,
    installed_authenticator,
    session_cookie_of,
    tickets_of,
)
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tickets import Tickets
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.handshakes import handshake
from tests.auth.test_tickets import Store


@pytest.fixture
def authenticator(verifier: TokenVerifier) -> Authenticator:
    """Return an authenticator with a cookie name of its own and no tickets."""
    return Authenticator(verifier, OriginPolicy([]), cookie_name="__Host-session")


def test_finds_what_was_installed(authenticator: Authenticator) -> None:
    """Left out, the policy is the token's rights and the cookie has the authenticator's name."""
    connection = handshake()
    connection.scope["app"] = app = FastAPI()
    install_state(app, authenticator)

    assert auth_of(connection).authenticator is authenticator
    assert isinstance(auth_of(connection).policy, TokenRights)
    assert session_cookie_of(connection).name == "__Host-session"
    assert installed_authenticator(connection) is authenticator


def test_says_what_is_missing(authenticator: Authenticator) -> None:
    """Anyone who forgets a step reads which one; a refusal elsewhere is simply not counted."""
    connection = handshake()
    assert installed_authenticator(connection) is None
    connection.scope["app"] = app = FastAPI()

    assert installed_authenticator(connection) is None
    with pytest.raises(LookupError, match="install_auth"):
        auth_of(connection)
    install_state(app, authenticator)
    with pytest.raises(LookupError, match="ticket store"):
        tickets_of(connection)


def test_never_shows_the_metrics_token(authenticator: Authenticator) -> None:
    """State ends up in tracebacks."""
    connection = handshake()
    connection.scope["app"] = app = FastAPI()
    install_state(app, authenticator, metrics_token="s3cret")

    assert "s3cret" not in repr(auth_of(connection))


@pytest.mark.parametrize("is_revoked", [False, True])
def test_explains_by_what_is_installed(
    authenticator: Authenticator, factory: TokenFactory, is_revoked: bool
) -> None:
    """Its keys, its policy and its revocations."""
    connection = handshake()
    connection.scope["app"] = app = FastAPI()
    install_state(app, authenticator)
    if is_revoked:
        authenticator.revocations.add(Revocation(time.time() + 60, subject="alice"))

    decision = asyncio.run(explain_to(connection, factory.good(), "42", Action.PUBLISH))

    assert decision.reason == ("token_revoked" if is_revoked else None)


def test_finds_the_tickets_of_an_application(verifier: TokenVerifier) -> None:
    """Those of the authenticator that is installed in it."""
    connection = handshake()
    connection.scope["app"] = app = FastAPI()
    tickets = Tickets(Store())
    install_state(app, Authenticator(verifier, OriginPolicy([]), tickets=tickets))

    assert tickets_of(connection) is tickets
