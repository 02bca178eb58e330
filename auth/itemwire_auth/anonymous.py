"""Lets callers without a credential in where an application says that something is public."""

from __future__ import annotations

from typing import Final

from starlette.requests import HTTPConnection

from itemwire_auth.addresses import UNKNOWN, client_host, site_finder
from itemwire_auth.audit import log_authenticated
from itemwire_auth.principal import ANONYMOUS, NO_EXPIRY, Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.state import auth_of

SOURCE: Final = "none"

NO_RIGHTS: Final = ScopeSet()  # and a token would help, so what is refused is `scope_missing`

_site_of = site_finder(())


def anonymous_caller(connection: HTTPConnection) -> Principal | None:
    """Return the caller of a request without a credential; None where it has to have one.

    Such callers are told apart by their address. They have no subject, and no rights: what they
    may do is to subscribe to what is public.
    """
    public = auth_of(connection).public
    if public is None or not public.admits(connection):
        return None
    host = client_host(connection.scope)
    site = _site_of(host) if host else None
    principal = Principal(f"{ANONYMOUS}{site or UNKNOWN}", "", NO_RIGHTS, NO_EXPIRY)
    log_authenticated(connection, principal, SOURCE)
    return principal


def is_public(connection: HTTPConnection, item_id: str) -> bool:
    """Return whether callers without a credential may subscribe to an item."""
    public = auth_of(connection).public
    return public is not None and public.has(item_id)
