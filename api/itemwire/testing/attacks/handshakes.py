"""Attacks with a good token: on the handshake itself, its headers, and the path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from itemwire.testing.model import Attack, Endpoint, Fault
from itemwire.testing.raw_handshakes import STANDARD_HEADERS, RawHandshake
from itemwire_auth.testing import Severity

_KEY: Final = STANDARD_HEADERS["Sec-WebSocket-Key"]

Spoil = Callable[[RawHandshake], RawHandshake]

# What makes a good handshake invalid, and the rule it breaks.
SPOILT: Final[dict[str, tuple[Spoil, str]]] = {
    "version_8": (lambda k: k.instead("Sec-WebSocket-Version", "8"), "RFC 6455 4.2.1"),
    "version_missing": (lambda k: k.instead("Sec-WebSocket-Version", None), "RFC 6455 4.2.1"),
    "version_no_number": (lambda k: k.instead("Sec-WebSocket-Version", "x"), "RFC 6455 4.2.1"),
    "key_missing": (lambda k: k.instead("Sec-WebSocket-Key", None), "RFC 6455 4.2.1"),
    "key_empty": (lambda k: k.instead("Sec-WebSocket-Key", ""), "RFC 6455 4.2.1"),
    "key_short": (lambda k: k.instead("Sec-WebSocket-Key", "c2hvcnQ="), "RFC 6455 4.2.1"),
    "key_no_base64": (lambda k: k.instead("Sec-WebSocket-Key", "!" * 24), "RFC 6455 4.2.1"),
    "key_twice": (lambda k: k.header("Sec-WebSocket-Key", _KEY), "RFC 6455 11.3.1"),
    "upgrade_missing": (lambda k: k.instead("Upgrade", None), "RFC 6455 4.2.1"),
    "upgrade_to_other": (lambda k: k.instead("Upgrade", "h2c"), "RFC 6455 4.2.1"),
    "connection_missing": (lambda k: k.instead("Connection", None), "RFC 6455 4.2.1"),
    "connection_keep_alive": (lambda k: k.instead("Connection", "keep-alive"), "RFC 6455 4.2.1"),
    "host_missing": (lambda k: k.instead("Host", None), "RFC 9112 3.2"),
    "host_twice": (lambda k: k.header("Host", "evil.test"), "RFC 9112 3.2"),
    "http_1_0": (lambda k: replace(k, version="HTTP/1.0"), "RFC 6455 4.2.1"),
    "post": (lambda k: replace(k, method="POST"), "RFC 6455 4.2.1"),
    "body": (
        lambda k: replace(k.header("Content-Length", "5"), body="hello"),
        "ASVS 5.0 4.2.1: request smuggling",
    ),
    "chunked": (
        lambda k: replace(k.header("Transfer-Encoding", "chunked"), body="0\r\n\r\n"),
        "ASVS 5.0 4.2.1: request smuggling",
    ),
    "length_and_chunked": (
        lambda k: replace(
            k.header("Content-Length", "5").header("Transfer-Encoding", "chunked"),
            body="0\r\n\r\n",
        ),
        "RFC 9112 6.3: request smuggling",
    ),
    "space_before_colon": (lambda k: k.header("X-A ", "b"), "RFC 9112 5.1"),
    "no_colon": (lambda k: k.header("X-A\r\nX-B", "b"), "RFC 9112 5"),
    "nul_in_header": (lambda k: k.header("X-A", "a\0b"), "RFC 9110 5.5"),
    "name_with_space": (lambda k: k.header("X A", "b"), "RFC 9110 5.1"),
}

# What no RFC forbids: a GET with a body, and white space at the end of the last parameter.
OURS: Final = frozenset({"body", "chunked", "line_break", "space"})

# `{}` is the good path.
PATHS: Final = {
    "slash_after": "{}/",
    "slash_before": "/{}",
    "segment_before": "/x{}",
    "segment_after": "{}/x",
    "parameter": "{};a=b",
    "nul": "{}%00",
    "space": "{}%20",
    "line_break": "{}%0A",
    "suffix": "{}.json",
    "dot_before": "/.{}",
    "dots_before": "/x/..{}",
}


def _spoilt(name: str, spoil: Spoil, why: str) -> Attack:
    return Attack(
        f"handshake_{name}",
        Fault.HANDSHAKE,
        lambda endpoint: spoil(endpoint.good()),
        why=why,
        severity=_severity(name),
    )


def _path(name: str, pattern: str) -> Attack:
    def make(endpoint: Endpoint) -> RawHandshake:
        handshake = endpoint.good()
        path, mark, query = handshake.target.partition("?")
        return replace(handshake, target=pattern.replace("{}", path) + mark + query)

    return Attack(
        f"path_{name}",
        Fault.ROUTE,
        make,
        why="only the exact path of a route may be upgraded",
        severity=_severity(name),
    )


def _severity(name: str) -> Severity:
    return Severity.RULE if name in OURS else Severity.WEAKNESS


def _in_other_case(endpoint: Endpoint) -> RawHandshake:
    around = endpoint.route.path.split("{item}")
    other = replace(endpoint.route, path="{item}".join(part.swapcase() for part in around))
    return Endpoint(endpoint.url, other).good()


HANDSHAKES: Final = (
    *(_spoilt(name, spoil, why) for name, (spoil, why) in SPOILT.items()),
    *(_path(name, pattern) for name, pattern in PATHS.items()),
    Attack(
        "path_in_other_case",
        Fault.ROUTE,
        _in_other_case,
        why="paths are case-sensitive (RFC 3986 6.2.2.1)",
        severity=Severity.WEAKNESS,
    ),
    Attack(
        "head_of_many_headers",
        Fault.SIZE,
        lambda endpoint: replace(
            endpoint.good(),
            headers=(*endpoint.good().headers, *((f"X-{n}", "a" * 100) for n in range(2000))),
        ),
        why="RFC 6585 section 5: the request head has a limit, and 431 reports it",
        severity=Severity.RULE,
    ),
)
