"""Reads who the client of a proxy is: X-Forwarded-For, or else Forwarded (RFC 7239).

Each proxy adds its own peer at the right, and whatever is left of the trusted ones a stranger may
have written. So the client is the rightmost hop that is no trusted proxy; if its name is no address
(`unknown`, `_hidden`), the client has none. It is never taken for the proxy, which may be exempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from itemwire_auth.addresses import (
    MAX_ADDRESS_LENGTH,
    MAX_REMEMBERED,
    UNKNOWN,
    parse_address,
    parse_networks,
    parse_port,
)

SETTING: Final = "ITEMWIRE_TRUSTED_PROXIES"

FORWARDED: Final = "itemwire.forwarded"
"""The key of an ASGI scope whose client a trusted proxy has named."""

EVERYBODY: Final = "*"
UNIX: Final = "unix"  # stands for whoever connects by a Unix socket, which has no address
MOST_READ: Final = 4096  # characters, at the right: the rest is what strangers write without end
MOST_COMMAS: Final = 8  # in the quoted text of one hop
SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})

_VALUE: Final = r'(?:"(?:[^"\\]|\\.)*"|[^",;\s]*)'
_PAIR: Final = re.compile(rf"([\w!#$%&'*+.^`|~-]+)=({_VALUE})", re.ASCII)
_ELEMENT: Final = re.compile(
    rf"[ \t]*({_PAIR.pattern}(?:[ \t]*;[ \t]*(?:{_PAIR.pattern})?)*)[ \t]*", re.ASCII
)
_QUOTED: Final = re.compile(r"\\(.)")

Client = tuple[str, int]


class Told(NamedTuple):
    """What a proxy says of its client; None for what it does not say."""

    client: Client | None = None
    scheme: str | None = None


class Hop(NamedTuple):
    """One peer in a chain of proxies, as the next proxy names it."""

    name: str
    scheme: str | None = None


class TrustedProxies:
    """The peers that may say who their client is.

    An entry is an address, a network, `unix` or `*`; ValueError says what another one lacks.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        listed = list(entries)
        words = {EVERYBODY, UNIX}
        self.trusts_all = EVERYBODY in listed
        self.trusts_unix = UNIX in listed
        self.networks = parse_networks((one for one in listed if one not in words), SETTING)
        self._is_listed = lru_cache(MAX_REMEMBERED)(self._find)

    def __contains__(self, host: str | None) -> bool:
        """Return whether a peer is trusted; None is the peer of a Unix socket."""
        if self.trusts_all:
            return True
        if host is None:
            return self.trusts_unix
        # A longer text is a stranger's, and would be kept.
        return len(host) <= MAX_ADDRESS_LENGTH and self._is_listed(host)

    def _find(self, host: str) -> bool:
        address = parse_address(host)
        return address is not None and any(address in network for network in self.networks)

    def told_by(self, peer: str | None, headers: Sequence[tuple[bytes, bytes]]) -> Told:
        """Return what the headers of a request say, if its peer is trusted."""
        if peer not in self:
            return Told()
        values = _forwarding(headers)
        if not values:
            return Told()
        hops = _hops_of(values)
        if not hops:
            return Told(scheme=_known(values.get(b"x-forwarded-proto", "").rpartition(",")[2]))
        hop = hops[self._place_of_client(hops)]
        return Told(_client_of(hop.name), hop.scheme)

    def _place_of_client(self, hops: Sequence[Hop]) -> int:
        """Return which hop is the client: the first, if all of them are trusted."""
        for place in range(len(hops) - 1, 0, -1):
            if self.trusts_all or _host_of(hops[place].name) in self:
                continue
            return place
        return 0


def _forwarding(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Return the headers about forwarding; fields of one name are one list (RFC 9110 5.3)."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in READ:
            text = value.decode("latin-1")
            found[name] = f"{found[name]},{text}" if name in found else text
    return {name: _right_end(text) for name, text in found.items()}


def _right_end(text: str) -> str:
    """Return what is read of a list: of one that is too long the last members, whole."""
    return text if len(text) <= MOST_READ else text[-MOST_READ:].partition(",")[2] or UNKNOWN


READ: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"})


def _hops_of(values: Mapping[bytes, str]) -> list[Hop]:
    """Return the chain, the client first; X-Forwarded-For counts alone where it is there.

    Proxies that write that header pass on a Forwarded of their clients.
    """
    names = _members(values.get(b"x-forwarded-for", ""))
    schemes = _members(values.get(b"x-forwarded-proto", ""))
    if not names and b"forwarded" in values:
        return _elements(values[b"forwarded"], schemes)
    aligned = schemes if len(schemes) == len(names) else schemes[-1:] * len(names)
    aligned = aligned or [""] * len(names)
    return [Hop(name, _known(scheme)) for name, scheme in zip(names, aligned, strict=True)]


def _members(text: str) -> list[str]:
    return [member for part in text.split(",") if (member := part.strip(" \t"))]


def _elements(text: str, schemes: Sequence[str]) -> list[Hop]:
    """Return the hops of a Forwarded header; what cannot be read is a hop without address."""
    hops: list[Hop] = []
    while text := text.rstrip(" \t,"):
        element = _last_element(text)
        if element is None:
            hops.append(Hop(text))
            break
        pairs = {name.lower(): _unquoted(value) for name, value in _PAIR.findall(element[1])}
        told = schemes[-1] if schemes else pairs.get("proto", "")
        hops.append(Hop(pairs.get("for") or UNKNOWN, _known(told)))
        text = text[: element.start()]
    return hops[::-1]


def _last_element(text: str) -> re.Match[str] | None:
    """Find the last element: from the right, so that no quote of a stranger reaches into it."""
    start = len(text)
    for _ in range(MOST_COMMAS + 1):
        start = text.rfind(",", 0, start)
        element = _ELEMENT.fullmatch(text, start + 1)
        if element is not None or start < 0:
            return element
    return None


def _unquoted(value: str) -> str:
    return _QUOTED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def _known(scheme: str) -> str | None:
    scheme = scheme.strip(" \t").lower()
    return scheme if scheme in SCHEMES else None


def _client_of(name: str) -> Client:
    """Return a client as ASGI names it; 0 is no port."""
    return _host_of(name), parse_port(name) or 0


def _host_of(name: str) -> str:
    address = parse_address(name)
    return name if address is None else str(address)


def as_scope(told: Told, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes in an ASGI scope by what a proxy says."""
    changed: dict[str, Any] = {}
    if told.client is not None:
        changed["client"] = told.client
    if told.scheme is not None:
        is_socket = scope["type"] == "websocket"
        changed["scheme"] = told.scheme.replace("http", "ws") if is_socket else told.scheme
    return changed
