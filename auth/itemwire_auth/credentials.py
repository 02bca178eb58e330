"""Finds the credentials of a connection, wherever a client may present one.

In order of precedence:

    authorization    Authorization: Bearer <token>
    subprotocol      Sec-WebSocket-Protocol: itemwire.v1.json, itemwire.token.<token>
    ticket           ?ticket=<ticket>
    query            ?token=<token>
    cookie           Cookie: session=<token>

A refresh on an open socket has no request: only the token that it offers is found then.

Only the parts that can hold a credential are parsed, and of those no more than `request_bounds`
allows: a server in front may have passed on more.

Values are returned as they came. White space, quotes or a `+` that became a space are not
repaired: the check of the token's form refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from itemwire_auth.errors import DuplicateCredential, InvalidCredential
from itemwire_auth.request_bounds import (
    MAX_COOKIES,
    MAX_ESCAPES,
    MAX_LIST_MEMBERS,
    has_too_many_fields,
)

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
    if len(offered) > MAX_LIST_MEMBERS:
        raise InvalidCredential("too many subprotocols are offered")
    return [
        protocol.removeprefix(SUBPROTOCOL_PREFIX)
        for protocol in offered
        if protocol.startswith(SUBPROTOCOL_PREFIX)
    ]


def from_ticket(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Return one-time tickets in the query."""
    return _query_values(connection, TICKET_NAME)


def from_query(connection: HTTPConnection, _cookie_name: str) -> list[str]:
    """Return all tokens in the query (RFC 6750 section 2.3); FastAPI would take the last."""
    return _query_values(connection, QUERY_NAME)


def _query_values(connection: HTTPConnection, name: str) -> list[str]:
    query = _query_of(connection.scope)
    if not query or not _may_name(query, name):
        return []
    if _is_dear(query):
        raise InvalidCredential("the query has too many fields or escapes")
    return connection.query_params.getlist(name)


def has_query_field(scope: Mapping[str, Any], names: Collection[str]) -> bool:
    """Return whether a query has a field of one of these names.

    A query that is too dear to parse counts as one that has.
    """
    query = _query_of(scope)
    if not query or not any(_may_name(query, name) for name in names):
        return False
    return _is_dear(query) or any(name in QueryParams(query) for name in names)


def _query_of(scope: Mapping[str, Any]) -> bytes:
    query: bytes = scope.get("query_string", b"")
    return query


def _may_name(query: bytes, name: str) -> bool:
    """Return whether a query may have a field of a name, which may be written with escapes."""
    return name.encode() in query or b"%" in query


def _is_dear(query: bytes) -> bool:
    return has_too_many_fields(query) or query.count(b"%") > MAX_ESCAPES


def from_cookie(connection: HTTPConnection, cookie_name: str) -> list[str]:
    """Return session cookies from the raw header: parsing keeps only the last one of a name."""
    headers = connection.headers.getlist("cookie")
    if not headers:
        return []
    if sum(header.count(";") for header in headers) > MAX_COOKIES:
        raise InvalidCredential("there are too many cookies")
    pairs = [pair.partition("=") for header in headers for pair in header.split(";")]
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
        if source not in sources or not (values := find(connection, cookie_name)):
            continue
        if len(values) > 1:
            # Two readers may pick different ones (parameter pollution): equal values are refused.
            raise DuplicateCredential(source)
        found.append(Credential(values[0], source))
    return tuple(found)
