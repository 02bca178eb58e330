"""Decides who may come in, and where; usable alone in any FastAPI application."""

from auth.authenticator import Authenticator
from auth.cookies import SessionCookie
from auth.dependencies import (
    CurrentPrincipal,
    authorize_item,
    current_principal,
    install_auth,
    open_to_strangers,
    permitted,
    refusal,
)
from auth.errors import (
    AuthError,
    Forbidden,
    KeyProblem,
    NotAllowed,
    NotNow,
    ScopeMissing,
    Unauthenticated,
    Unavailable,
)
from auth.explaining import Decision, explain
from auth.policies import Policy, TokenRights
from auth.policy_url import PolicyURL
from auth.principal import Grant, Principal
from auth.scopes import Action, ScopeSet
from auth.settings import AuthSettings, build_authenticator, build_policy
from auth.tickets import Tickets, TicketStore

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
