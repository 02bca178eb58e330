"""Holds what the dependencies need of an application, at `app.state.auth`."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.cookies import SessionCookie
from itemwire_auth.explaining import Decision, explain
from itemwire_auth.policies import Policy, TokenRights
from itemwire_auth.scopes import Action
from itemwire_auth.tickets import Tickets


@dataclass(frozen=True, slots=True)
class AuthState:
    """How one application authenticates and authorises its callers."""

    authenticator: Authenticator
    policy: Policy
    cookie: SessionCookie = field(default_factory=SessionCookie)
    metrics_token: str | None = field(default=None, repr=False)


def install_auth(
    app: FastAPI,
    authenticator: Authenticator,
    policy: Policy | None = None,
    cookie: SessionCookie | None = None,
    metrics_token: str | None = None,
) -> None:
    """Make the dependencies of `itemwire_auth` work in an application.

    Without a policy the token's own rights decide. Without a metrics token `scraper` refuses
    everybody.
    """
    app.state.auth = AuthState(
        authenticator,
        policy or TokenRights(),
        cookie or SessionCookie(authenticator.cookie_name),
        metrics_token,
    )


def auth_of(connection: HTTPConnection) -> AuthState:
    """Return what `install_auth` put into the application, or raise LookupError."""
    # A plain call and no dependency: FastAPI walks the whole tree of those at each handshake.
    try:
        state: AuthState = connection.app.state.auth
    except AttributeError:
        raise LookupError("no authenticator: call install_auth(app, authenticator) first") from None
    return state


def installed_authenticator(connection: HTTPConnection) -> Authenticator | None:
    """Return the application's authenticator; None outside an application that has one."""
    app = connection.scope.get("app")
    state: AuthState | None = getattr(app.state, "auth", None) if app else None
    return state.authenticator if state else None


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
