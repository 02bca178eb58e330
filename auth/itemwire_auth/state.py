"""Holds what the dependencies need of an application, at `app.state.auth`.

An application that is mounted in another one is not `request.app`; it puts its own state into the
scope of each request, by the key `AUTH`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.cookies import SessionCookie
from itemwire_auth.explaining import Decision, explain
from itemwire_auth.open_sockets import OpenSockets
from itemwire_auth.policies import Policy, TokenRights
from itemwire_auth.scopes import Action
from itemwire_auth.tickets import Tickets
from itemwire_auth.tokens.info_claims import InfoClaims

AUTH: Final = "itemwire.auth"  # a key of the ASGI scope, which no client can set


class Public(Protocol):
    """What callers without a credential may subscribe to."""

    def admits(self, connection: HTTPConnection) -> bool:
        """Return whether a request is on a route, and about an item, that needs no credential."""
        ...

    def has(self, item_id: str) -> bool:
        """Return whether an item is public."""
        ...


@dataclass(frozen=True, slots=True)
class AuthState:
    """How one application authenticates and authorises its callers."""

    authenticator: Authenticator
    policy: Policy
    cookie: SessionCookie = field(default_factory=SessionCookie)
    metrics_token: str | None = field(default=None, repr=False)
    info_claims: InfoClaims = field(default_factory=InfoClaims)
    public: Public | None = None
    sockets: OpenSockets | None = None


def install_state(
    app: FastAPI,
    authenticator: Authenticator,
    policy: Policy | None = None,
    cookie: SessionCookie | None = None,
    metrics_token: str | None = None,
    *,
    info_claims: InfoClaims | None = None,
    public: Public | None = None,
    sockets: OpenSockets | None = None,
) -> None:
    """Put what the dependencies of `itemwire_auth` need into an application, and no more.

    Without a policy the token's own rights decide. Without a metrics token `scraper` refuses
    everybody. `info_claims` are what grants tell other members of a caller. Nobody comes in without
    a credential but to what is `public`. `accept` needs `sockets` that run.
    """
    app.state.auth = AuthState(
        authenticator,
        policy or TokenRights(),
        cookie or SessionCookie(authenticator.cookie_name),
        metrics_token,
        info_claims or InfoClaims(),
        public,
        sockets,
    )


def auth_of(connection: HTTPConnection) -> AuthState:
    """Return what was installed in the application, or raise LookupError."""
    # A plain call and no dependency: FastAPI walks the whole tree of those at each handshake.
    state = _state_of(connection)
    if state is None:
        raise LookupError("no authenticator: call install_auth(app, authenticator) first")
    return state


def installed_authenticator(connection: HTTPConnection) -> Authenticator | None:
    """Return the application's authenticator; None outside an application that has one."""
    state = _state_of(connection)
    return state.authenticator if state else None


def _state_of(connection: HTTPConnection) -> AuthState | None:
    scope = connection.scope
    if AUTH in scope:
        mounted: AuthState = scope[AUTH]
        return mounted
    app = scope.get("app")
    installed: AuthState | None = getattr(app.state, "auth", None) if app else None
    return installed


def tickets_of(connection: HTTPConnection) -> Tickets:
    """Return what issues this application's tickets, or raise LookupError if it has none."""
    tickets = auth_of(connection).authenticator.tickets
    if tickets is None:
        raise LookupError("the authenticator has no tickets: build it with a ticket store")
    return tickets


def session_cookie_of(connection: HTTPConnection) -> SessionCookie:
    """Return how this application writes its session cookie."""
    return auth_of(connection).cookie


async def explain_to(
    connection: HTTPConnection, token: str, item_id: str | None, action: Action | None
) -> Decision:
    """Return what this application would decide about a token, for an operator's eyes only."""
    state = auth_of(connection)
    verifier, revocations = state.authenticator.verifier, state.authenticator.revocations
    return await explain(verifier, state.policy, token, item_id, action, revocations=revocations)
