"""Decides who may come in, and where; usable alone in any FastAPI application."""

from auth.authenticator import Authenticator
from auth.cookies import SessionCookie
from auth.dependencies import (
    CurrentPrincipal,
    authorize_item,
    current_principal,
    install_auth,
    permitted,
    refusal,
)
from auth.errors import (
    AuthError,
    Forbidden,
    KeyProblem,
    NotAllowed,
    ScopeMissing,
    Unauthenticated,
    Unavailable,
)
from auth.policies import Policy, TokenRights
from auth.principal import Grant, Principal
from auth.scopes import Action, ScopeSet
from auth.settings import AuthSettings, build_authenticator
from auth.tickets import Tickets, TicketStore

__all__ = [
    "Action",
    "AuthError",
    "AuthSettings",
    "Authenticator",
    "CurrentPrincipal",
    "Forbidden",
    "Grant",
    "KeyProblem",
    "NotAllowed",
    "Policy",
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
    "current_principal",
    "install_auth",
    "permitted",
    "refusal",
]
