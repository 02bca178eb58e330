"""Decides who may come in, and where; usable alone in any FastAPI application.

    install_auth(app, AuthSettings())

    @app.get("/me")
    async def me(principal: CurrentPrincipal) -> str: ...

Public names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from itemwire_auth.accepting import accept, drain, revoke
    from itemwire_auth.authenticator import Authenticator
    from itemwire_auth.building import build_authenticator, build_policy
    from itemwire_auth.cookies import SessionCookie
    from itemwire_auth.dependencies import (
        CurrentPrincipal,
        authorize_item,
        current_principal,
        open_to_strangers,
        permitted,
    )
    from itemwire_auth.errors import (
        AuthError,
        ChannelException,
        Forbidden,
        KeyProblem,
        NotAllowed,
        NotNow,
        ScopeMissing,
        Unauthenticated,
        Unavailable,
    )
    from itemwire_auth.explaining import Decision, explain
    from itemwire_auth.installing import install_auth
    from itemwire_auth.policies import Policy, TokenRights
    from itemwire_auth.policy_url import PolicyURL
    from itemwire_auth.principal import Grant, Identity, Principal
    from itemwire_auth.refusals import refusal
    from itemwire_auth.rights import ScopeSet
    from itemwire_auth.scopes import Action
    from itemwire_auth.settings import AuthSettings
    from itemwire_auth.tickets import Tickets, TicketStore

__all__ = [
    "Action",
    "AuthError",
    "AuthSettings",
    "Authenticator",
    "ChannelException",
    "CurrentPrincipal",
    "Decision",
    "Forbidden",
    "Grant",
    "Identity",
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
    "accept",
    "authorize_item",
    "build_authenticator",
    "build_policy",
    "current_principal",
    "drain",
    "explain",
    "install_auth",
    "open_to_strangers",
    "permitted",
    "refusal",
    "revoke",
]

_MODULES: Final = {
    "accepting": ("accept", "drain", "revoke"),
    "authenticator": ("Authenticator",),
    "building": ("build_authenticator", "build_policy"),
    "cookies": ("SessionCookie",),
    "dependencies": (
        "CurrentPrincipal",
        "authorize_item",
        "current_principal",
        "open_to_strangers",
        "permitted",
    ),
    "errors": (
        "AuthError",
        "ChannelException",
        "Forbidden",
        "KeyProblem",
        "NotAllowed",
        "NotNow",
        "ScopeMissing",
        "Unauthenticated",
        "Unavailable",
    ),
    "explaining": ("Decision", "explain"),
    "installing": ("install_auth",),
    "policies": ("Policy", "TokenRights"),
    "policy_url": ("PolicyURL",),
    "principal": ("Grant", "Identity", "Principal"),
    "refusals": ("refusal",),
    "rights": ("ScopeSet",),
    "scopes": ("Action",),
    "settings": ("AuthSettings",),
    "tickets": ("TicketStore", "Tickets"),
}
"""The public names of each module (PEP 562): `import itemwire_auth` loads none of them."""

_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name on first use: rights and principals are had without FastAPI."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return every public name, loaded or not."""
    return sorted(__all__)
