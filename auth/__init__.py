"""Decides who may come in, and where; usable alone in any FastAPI application."""

from auth.authenticator import Authenticator
from auth.dependencies import (
    CurrentPrincipal,
    authorize_item,
    current_principal,
    install_auth,
    permitted,
    refusal,
)
from auth.errors import AuthError, Forbidden, KeyProblem, NotAllowed, ScopeMissing, Unauthenticated
from auth.policies import Policy, TokenRights
from auth.principal import Grant, Principal
from auth.scopes import Action, ScopeSet
from auth.settings import AuthSettings, build_authenticator

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
    "TokenRights",
    "Unauthenticated",
    "authorize_item",
    "build_authenticator",
    "current_principal",
    "install_auth",
    "permitted",
    "refusal",
]
