"""What dependencies read of a handshake; that much is kept to ask them again.

A dependency that is asked again must find what it read at the handshake. If it found less, it might
take a header that is missing for a caller without restrictions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus, urlencode

import msgspec
from starlette.types import Scope

from itemwire_auth.credentials import QUERY_NAME, SUBPROTOCOL_PREFIX, TICKET_NAME

MAX_KEPT_BYTES: Final = 4096  # of one handshake

Headers = Sequence[tuple[bytes, bytes]]

SHOWN: Final = "itemwire.shown"  # a key of the ASGI scope, which no client can set
SHOWN_QUERY: Final = "itemwire.shown_query"  # another one

# RFC 9110 section 11.1, as in `itemwire_auth.credentials`.
_BEARER: Final = re.compile(rb"bearer(?![!#$%&'*+.^_`|~0-9A-Za-z-]) ?", re.IGNORECASE)
_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Inputs:
    """The headers, cookies and query parameters that a route's dependencies may read, by name.

    `whole` stands for all of them: a dependency is given the connection itself.
    """

    headers: frozenset[str] = _NOTHING  # in lower case
    cookies: frozenset[str] = _NOTHING
    query: frozenset[str] = _NOTHING
    whole: bool = False

    @property
    def is_empty(self) -> bool:
        """Return whether they read nothing of a handshake."""
        return not (self.whole or self.headers or self.cookies or self.query)

    def covers(self, other: Inputs) -> bool:
        """Return whether all that others may read is among these."""
        return self.whole or (
            not other.whole
            and self.headers >= other.headers
            and self.cookies >= other.cookies
            and self.query >= other.query
        )

    def __or__(self, other: Inputs) -> Inputs:
        if self.covers(other):
            return self
        if other.covers(self):
            return other
        return Inputs(
            self.headers | other.headers,
            self.cookies | other.cookies,
            self.query | other.query,
        )


NO_INPUTS: Final = Inputs()


class Presented(msgspec.Struct, array_like=True, gc=False):
    """What a handshake presented: the raw query string and headers."""

    query: bytes
    headers: list[tuple[bytes, bytes]]

    @classmethod
    def of(cls, scope: Scope, inputs: Inputs) -> Presented:
        """Take from a handshake what its dependencies may read."""
        query = shown_query(scope)
        headers = shown_headers(scope)
        if inputs.whole:
            return cls(query, list(headers))
        parts = [part for part in query.split(b"&") if _query_name(part) in inputs.query]
        return cls(b"&".join(parts), _headers_among(headers, inputs))

    def with_token(self, token: str, cookie_name: str) -> Presented:
        """Return the same with a token in place of each credential, and always in the query."""
        raw = token.encode("utf-8", "surrogatepass")
        rest = without_fields(self.query, {QUERY_NAME, TICKET_NAME})
        parts = [rest] if rest else []
        parts.append(urlencode({QUERY_NAME: token}, errors="surrogatepass").encode())
        headers = [(name, _renewed(name, it, raw, cookie_name)) for name, it in self.headers]
        return Presented(b"&".join(parts), headers)


def shown_headers(scope: Scope) -> Headers:
    """Return the headers that dependencies find, where they are not shown those that came."""
    headers: Headers = scope.get(SHOWN, scope["headers"])
    return headers


def shown_query(scope: Scope) -> bytes:
    """Return the query that dependencies find, where they are not shown the one that came."""
    query: bytes = scope.get(SHOWN_QUERY, scope.get("query_string", b""))
    return query


def fields_of(query: bytes) -> list[bytes]:
    """Return the fields of a query, as they came."""
    return [part for part in query.split(b"&") if part]


def without_fields(query: bytes, names: Collection[str]) -> bytes:
    """Return a query without the fields of these names."""
    return b"&".join(part for part in fields_of(query) if _query_name(part) not in names)


def pack(presented: Presented) -> bytes | None:
    """Return what was presented as one object in memory; None if it is over the bound."""
    size = len(presented.query) + sum(len(name) + len(it) for name, it in presented.headers)
    if size > MAX_KEPT_BYTES:
        return None
    packed = msgspec.msgpack.encode(presented)
    return packed if len(packed) <= MAX_KEPT_BYTES else None


def unpack(packed: bytes) -> Presented:
    """Return what `pack` has packed."""
    return msgspec.msgpack.decode(packed, type=Presented)


def subprotocols_of(headers: Headers) -> list[str]:
    """Return the subprotocols that the headers of a handshake offer."""
    offers = b",".join(value for name, value in headers if name == b"sec-websocket-protocol")
    return [one.strip() for one in offers.decode("latin-1").split(",") if one.strip()]


def _headers_among(headers: Headers, inputs: Inputs) -> list[tuple[bytes, bytes]]:
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name.decode("latin-1") in inputs.headers:
            kept.append((name, value))
        elif name == b"cookie" and inputs.cookies:
            pairs = (pair for pair in value.split(b";") if _cookie_name(pair) in inputs.cookies)
            kept.append((name, _joined(pairs)))
    return kept


def _renewed(name: bytes, value: bytes, token: bytes, cookie_name: str) -> bytes:
    """Return the value of a header with a token in place of a credential that is in it."""
    if name == b"authorization" and _BEARER.match(value):
        return b"Bearer " + token
    if name == b"cookie":
        return _joined(
            pair.partition(b"=")[0] + b"=" + token if _cookie_name(pair) == cookie_name else pair
            for pair in value.split(b";")
        )
    if name == b"sec-websocket-protocol":
        prefix = SUBPROTOCOL_PREFIX.encode()
        offers = (offer.strip() for offer in value.split(b","))
        return b", ".join(prefix + token if offer.startswith(prefix) else offer for offer in offers)
    return value


def _joined(pairs: Iterable[bytes]) -> bytes:
    return b"; ".join(pair.strip() for pair in pairs)


def _cookie_name(pair: bytes) -> str:
    return pair.partition(b"=")[0].strip(b" \t").decode("latin-1")


def _query_name(part: bytes) -> str:
    return unquote_plus(part.partition(b"=")[0].decode("latin-1"))
