"""Decides who may come in, and where; usable alone in any FastAPI application."""

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.building import build_authenticator, build_policy
from itemwire_auth.cookies import SessionCookie
from itemwire_auth.dependencies import (
    CurrentPrincipal,
    authorize_item,
    current_principal,
    install_auth,
    open_to_strangers,
    permitted,
    refusal,
)
from itemwire_auth.errors import (
    AuthError,
    Forbidden,
    KeyProblem,
    NotAllowed,
    NotNow,
    ScopeMissing,
    Unauthenticated,
    Unavailable,
)
from itemwire_auth.explaining import Decision, explain
from itemwire_auth.policies import Policy, TokenRights
from itemwire_auth.policy_url import PolicyURL
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action, ScopeSet
from itemwire_auth.settings import AuthSettings
from itemwire_auth.tickets import Tickets, TicketStore

__all__ = [
    "Action",
    "AuthError",
    "AuthSettings",
    "Authenticator",
    "CurrentPrincipal",
    "Decision",
    "Forbidden",
    "Grant",
    "KeyProblem",
    "NotAllowed",
    "NotNow",
    "Policy",
    "PolicyURL",
    "Principal",
    "ScopeMissing",
    "ScopeSet",
    "SessionCookie",
    "TicketStore",
    "Tickets",
    "TokenRights",
    "Unauthenticated",
    "Unavailable",
    "authorize_item",
    "build_authenticator",
    "build_policy",
    "current_principal",
    "explain",
    "install_auth",
    "open_to_strangers",
    "permitted",
    "refusal",
]
