"""Callers without a credential: where they may come in, and what tells them apart."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from typing_extensions import override

from itemwire_auth import Authenticator, Principal, ScopeSet
from itemwire_auth.anonymous import anonymous_caller, is_public
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.state import Public, install_state
from itemwire_auth.tokens.verifier import TokenVerifier


class News(Public):
    """Everything that is called news is public, on whatever route."""

    @override
    def admits(self, connection: HTTPConnection) -> bool:
        return self.has(connection.path_params["item_id"])

    @override
    def has(self, item_id: str) -> bool:
        return item_id.startswith("news")


def connection_of(
    verifier: TokenVerifier,
    host: str | None,
    item_id: str = "news",
    public: Public | None = None,
) -> HTTPConnection:
    """Make a handshake for an item from an address."""
    app = FastAPI()
    install_state(app, Authenticator(verifier, OriginPolicy([])), public=public)
    client = None if host is None else (host, 50_000)
    scope = {
        "type": "websocket",
        "app": app,
        "client": client,
        "headers": [],
        "path": "",
        "path_params": {"item_id": item_id},
    }
    return HTTPConnection(scope)


@pytest.mark.parametrize(
    ("host", "issuer"),
    [
        ("192.0.2.7", "anonymous:192.0.2.7"),
        ("::ffff:192.0.2.7", "anonymous:192.0.2.7"),
        ("2001:db8::1", "anonymous:2001:db8::/64"),
        ("2001:db8::2", "anonymous:2001:db8::/64"),
        ("no address", "anonymous:unknown"),
        (None, "anonymous:unknown"),
    ],
)
def test_are_told_apart_by_their_address(
    verifier: TokenVerifier, host: str | None, issuer: str
) -> None:
    """An IPv6 site is one caller, however many addresses it takes."""
    caller = anonymous_caller(connection_of(verifier, host, public=News()))

    assert caller is not None
    assert (caller.identity, caller.is_anonymous) == ((issuer, ""), True)


def test_come_in_only_to_what_is_public(verifier: TokenVerifier) -> None:
    """And nowhere where nothing is said to be."""
    public, other = (connection_of(verifier, "192.0.2.7", one, News()) for one in ("news", "order"))
    nothing = connection_of(verifier, "192.0.2.7")

    assert anonymous_caller(public) is not None
    assert anonymous_caller(other) is None
    assert anonymous_caller(nothing) is None
    assert [is_public(one, "news") for one in (public, other, nothing)] == [True, True, False]


@pytest.mark.parametrize(
    ("issuer", "subject"), [(None, ""), ("anonymous:192.0.2.7", "alice"), ("https://id", "")]
)
def test_nobody_with_a_credential_is_taken_for_one(issuer: str | None, subject: str) -> None:
    """Neither an issuer's name nor an empty subject makes one."""
    assert not Principal(issuer, subject, ScopeSet(), 0).is_anonymous
