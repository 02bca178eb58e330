"""Finds the credentials of a connection, wherever a client may present one.

In order of precedence:

    authorization    Authorization: Bearer <token>
    subprotocol      Sec-WebSocket-Protocol: itemwire.v1.json, itemwire.token.<token>
    ticket           ?ticket=<ticket>
    query            ?token=<token>
    cookie           Cookie: session=<token>

A refresh on an open socket has no request: only the token that it offers is found then.

Values are returned as they came. White space, quotes or a `+` that became a space are not
repaired: the check of the token's form refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import HTTPConnection

from itemwire_auth.errors import DuplicateCredential

SUBPROTOCOL_PREFIX: Final = "itemwire.token."
QUERY_NAME: Final = "token"
TICKET_NAME: Final = "ticket"
REFRESH: Final = "itemwire.refresh"  # a key of the ASGI scope, which no client can set

# RFC 9110 section 11.1: the scheme's name has no case and ends before the first character that
# cannot be in a token.
_BEARER: Final = re.compile(r"bearer(?![!#$%&'*+.^_`|~0-9A-Za-z-]) ?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret as the client presented it, not yet trusted."""

    value: str = field(repr=False)
    source: str


def from_authorization(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Return bearer tokens (RFC 6750 section 2.1); other schemes are not for this server."""
    headers = connection.headers.getlist("authorization")
    return [header[found.end() :] for header in headers if (found := _BEARER.match(header))]


def from_subprotocol(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Return tokens among the offered subprotocols: the one header that a page can set."""
    offered: list[str] = connection.scope.get("subprotocols", [])
    return [
        protocol.removeprefix(SUBPROTOCOL_PREFIX)
        for protocol in offered
        if protocol.startswith(SUBPROTOCOL_PREFIX)
    ]


def from_ticket(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Return one-time tickets in the query."""
    return connection.query_params.getlist(TICKET_NAME)


def from_query(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Return all tokens in the query (RFC 6750 section 2.3); FastAPI would take the last."""
    return connection.query_params.getlist(QUERY_NAME)


def from_cookie(connection: HTTPConnection, cookie_name: str) -> list[str]:
    """Return session cookies from the raw header: parsing keeps only the last one of a name."""
    pairs = [
        pair.partition("=")
        for header in connection.headers.getlist("cookie")
        for pair in header.split(";")
    ]
    return [
        value.strip(" \t")
        for name, sign, value in pairs
        if sign and name.strip(" \t") == cookie_name
    ]


CREDENTIAL_SOURCES: Final[dict[str, Callable[[HTTPConnection, str], list[str]]]] = {
    "authorization": from_authorization,
    "subprotocol": from_subprotocol,
    "ticket": from_ticket,
    "query": from_query,
    "cookie": from_cookie,
}


def find_credentials(
    connection: HTTPConnection, cookie_name: str, sources: Collection[str] = CREDENTIAL_SOURCES
) -> tuple[Credential, ...]:
    """Return the presented credentials in order of precedence, at most one a source.

    Sources that are not among `sources` are not read. Two credentials in one source raise
    DuplicateCredential.
    """
    renewed: str | None = connection.scope.get(REFRESH)
    if renewed is not None:
        return (Credential(renewed, "refresh"),)
    found: list[Credential] = []
    for source, find in CREDENTIAL_SOURCES.items():
        values = find(connection, cookie_name) if source in sources else []
        if len(values) > 1:
            # Two readers may pick different ones (parameter pollution): equal values are refused.
            raise DuplicateCredential(source)
        found += [Credential(value, source) for value in values]
    return tuple(found)
