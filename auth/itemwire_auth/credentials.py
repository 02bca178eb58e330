"""Finds the credentials of a connection, wherever a client may present one.

In order of precedence:

    authorization    Authorization: Bearer <token>
    subprotocol      Sec-WebSocket-Protocol: itemwire.v1.json, itemwire.token.<token>
    ticket           ?ticket=<ticket>
    query            ?token=<token>
    cookie           Cookie: session=<token>

An open socket that offers a newer token has no request any more: that token alone is found then.

Values are handed on as they came. White space, quotes or a `+` that became a space are not
repaired: the token's form check refuses them.
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
REFRESH: Final = "itemwire.refresh"  # a name in the ASGI scope, which no client can write

# RFC 9110 section 11.1: the scheme's name has no case, and ends where token characters do.
_BEARER: Final = re.compile(r"bearer(?![!#$%&'*+.^_`|~0-9A-Za-z-]) ?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret as the client presented it, not yet trusted."""

    value: str = field(repr=False)
    source: str


def from_authorization(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Find bearer tokens (RFC 6750 section 2.1); other schemes are not ours and not looked at."""
    headers = connection.headers.getlist("authorization")
    return [header[found.end() :] for header in headers if (found := _BEARER.match(header))]


def from_subprotocol(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Find tokens among the offered subprotocols: the one header a browser lets a page set."""
    offered: list[str] = connection.scope.get("subprotocols", [])
    return [
        protocol.removeprefix(SUBPROTOCOL_PREFIX)
        for protocol in offered
        if protocol.startswith(SUBPROTOCOL_PREFIX)
    ]


def from_ticket(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Find one-time tickets in the query."""
    return connection.query_params.getlist(TICKET_NAME)


def from_query(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Find tokens in the query (RFC 6750 section 2.3), all of them: FastAPI takes the last."""
    return connection.query_params.getlist(QUERY_NAME)


def from_cookie(connection: HTTPConnection, cookie_name: str) -> list[str]:
    """Find session cookies in the raw header: parsed cookies keep the last of a name only."""
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
    """Collect what was presented, one credential a source at most, in order of precedence.

    Sources that are not among `sources` are not looked at.
    """
    renewed: str | None = connection.scope.get(REFRESH)
    if renewed is not None:
        return (Credential(renewed, "refresh"),)
    found = []
    for source, find in CREDENTIAL_SOURCES.items():
        values = find(connection, cookie_name) if source in sources else []
        if len(values) > 1:
            # Two readers may pick different ones (parameter pollution): equal values count too.
            raise DuplicateCredential(source)
        found += [Credential(value, source) for value in values]
    return tuple(found)
