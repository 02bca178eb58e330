"""Decides which web origins may use a cookie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

SELF: Final = "self"
NULL: Final = "null"

_LAST_PORT: Final = 65535
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PAGE_SCHEMES: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_AUTHORITY: Final = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/?#@,*\\]+)(?::(?P<port>[0-9]{1,5}))?"
_HOST: Final = re.compile(_AUTHORITY)
_ORIGIN: Final = re.compile(rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<wild>\*\.)?{_AUTHORITY}")


@dataclass(frozen=True, slots=True)
class Origin:
    """A web origin (RFC 6454): equal means same scheme, host and port, and nothing else does."""

    scheme: str
    host: str
    port: int | None


class OriginPolicy:
    """A list of allowed origins; the empty list refuses every page.

    An entry is `https://app.example.com`, with a port where it is not the scheme's own;
    `https://*.example.com` for every name below example.com but not that name itself; `null` for
    pages without an origin; or `self` for the server's own origin if the Host header names one of
    `hosts`. Otherwise a page could rebind its own name to this server's address (DNS rebinding).
    """

    def __init__(self, allowed: Sequence[str], hosts: Sequence[str] = ()) -> None:
        parsed = [_parse_entry(entry) for entry in allowed if entry not in (SELF, NULL)]
        self._exact = frozenset(origin for wild, origin in parsed if not wild)
        self._wild = tuple(origin for wild, origin in parsed if wild)
        self._null = NULL in allowed
        self._self = SELF in allowed
        self._hosts = frozenset(map(_parse_host_entry, hosts))

    def allows(self, origins: Sequence[str], *, scheme: str, host: str) -> bool:
        """Return whether a request may use a cookie, given its Origin and Host headers."""
        if not origins:
            return True  # every browser sends Origin with a WebSocket handshake: this is no browser
        if len(origins) > 1:
            return False
        if origins[0] == NULL:
            return self._null
        origin = _parse_origin(origins[0])
        return origin is not None and (
            origin in self._exact or self._is_below(origin) or self._is_own(origin, scheme, host)
        )

    def _is_below(self, origin: Origin) -> bool:
        """Return whether a wildcard entry covers the origin, by whole labels."""
        return any(
            (origin.scheme, origin.port) == (base.scheme, base.port)
            and origin.host.endswith(f".{base.host}")
            and all(origin.host.removesuffix(f".{base.host}").split("."))
            for base in self._wild
        )

    def _is_own(self, origin: Origin, scheme: str, host: str) -> bool:
        """Return whether the origin is this server, under one of its known names."""
        own = _parse_origin(f"{_PAGE_SCHEMES.get(scheme, '')}://{host}")
        return self._self and own == origin and origin.host in self._hosts


def normal_origin(text: str) -> str | None:
    """Return the normal spelling of an origin; None if the text is no origin."""
    origin = _parse_origin(text)
    if origin is None or origin.scheme not in _DEFAULT_PORTS:
        return None
    port = "" if origin.port is None else f":{origin.port}"
    return f"{origin.scheme}://{origin.host}{port}"


def _parse_origin(text: str) -> Origin | None:
    """Parse an Origin header; a comma, a path or a character beyond ASCII is no origin."""
    match = _ORIGIN.fullmatch(text)
    return _origin(match) if match and not match["wild"] and text.isascii() else None


def _parse_entry(entry: str) -> tuple[bool, Origin]:
    """Parse a configured origin; the first value is whether it is a wildcard."""
    match = _ORIGIN.fullmatch(entry)
    origin = match and _origin(match)
    if match is None or origin is None or origin.scheme in ("ws", "wss"):
        raise ValueError(
            f"allowed origin {entry!r} is not one: write the scheme://host[:port] of a page, such "
            "as https://app.example.com, or https://*.example.com, null or self"
        )
    return bool(match["wild"]), origin


def _parse_host_entry(entry: str) -> str:
    """Parse a configured host name."""
    match = _HOST.fullmatch(entry)
    host = match and not match["port"] and _host(match["host"])
    if not host:
        raise ValueError(
            f"allowed host {entry!r} is not one: write a name or [IPv6 address], without a port"
        )
    return host


def _origin(match: re.Match[str]) -> Origin | None:
    """Normalise an origin: names in lower-case ASCII, the default port of a scheme left out."""
    scheme, host = match["scheme"].lower(), _host(match["host"])
    port = int(match["port"]) if match["port"] else None
    if host is None or (port is not None and port > _LAST_PORT):
        return None
    return Origin(scheme, host, None if port == _DEFAULT_PORTS.get(scheme) else port)


def _host(text: str) -> str | None:
    """Normalise a host name or address; None if it is neither."""
    try:
        if text.startswith("["):
            return f"[{IPv6Address(text[1:-1])}]"
        return text.lower() if text.isascii() else _in_ascii(text)
    except ValueError:  # of ipaddress and, as UnicodeError, of idna
        return None


def _in_ascii(name: str) -> str:
    import idna  # noqa: PLC0415 - its tables are large, and such names rare

    return idna.encode(name, uts46=True).decode("ascii")
