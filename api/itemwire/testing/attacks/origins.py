"""Attacks from foreign pages: the browser adds the user's cookie by itself (CWE-1385)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from itemwire.testing.model import Attack, Endpoint, Fault
from itemwire.testing.raw_handshakes import RawHandshake
from itemwire_auth.testing import Severity

_COOKIE: Final = frozenset({"cookie"})
_WHY: Final = "CWE-1385, ASVS 5.0 4.4.2: a cookie counts only from an allowed origin"
_PAGE_OF_ITS_OWN: Final = "a cookie is refused from a foreign page, whatever else that presents"

# `{}` is the server's own origin, `{host}` its host and port.
FOREIGN: Final = {
    "another_site": "https://evil.test",
    "null": "null",
    "empty": "",
    "other_scheme": "https://{host}",
    "other_port": "http://127.0.0.1:1",
    "without_port": "http://127.0.0.1",
    "no_scheme": "{host}",
    "own_as_prefix": "{}.evil.test",
    "own_as_prefix_of_port": "{}0",
    "own_as_suffix": "http://evil-{host}",
    "below_own": "http://evil.{host}",
    "own_with_path": "{}/",
    "own_as_password": "{}@evil.test",
    "own_as_path": "http://evil.test/{host}",
    "own_as_query": "http://evil.test?{}",
    "own_as_fragment": "http://evil.test#{}",
    "own_before_backslash": "http://evil.test\\@{host}",
    "joined_by_comma": "{}, https://evil.test",
    "joined_by_space": "{} https://evil.test",
    "file": "file://",
    "extension": "chrome-extension://abcdefghijklmnop",
    "wildcard": "*",
}

# No browser sends one of these: an origin has a scheme and a host, and neither path nor user.
NOT_SENT: Final = frozenset(
    """
    empty no_scheme own_with_path own_as_password own_as_path own_as_query own_as_fragment
    own_before_backslash joined_by_comma joined_by_space wildcard
    """.split()  # noqa: SIM905 - a table, not a column
)


def _from(endpoint: Endpoint, origin: str) -> RawHandshake:
    """Present a good cookie from a page of an origin."""
    handshake = endpoint.source("cookie").present(endpoint.bare(), endpoint.token())
    return handshake.header(
        "Origin", origin.replace("{}", endpoint.url).replace("{host}", endpoint.host)
    )


def _foreign(name: str, origin: str) -> Attack:
    return Attack(
        f"origin_{name}",
        Fault.ORIGIN,
        lambda endpoint: _from(endpoint, origin),
        _good,
        _COOKIE,
        _WHY,
        Severity.WEAKNESS if name in NOT_SENT else Severity.HOLE,
    )


def _good(endpoint: Endpoint) -> RawHandshake:
    return endpoint.good("cookie")


def _rebound(endpoint: Endpoint) -> RawHandshake:
    """Present a good cookie after DNS rebinding: the Origin equals the Host header."""
    rebound = f"evil.test:{endpoint.host.rpartition(':')[2]}"
    return _from(endpoint, f"http://{rebound}").instead("Host", rebound)


def _foreign_with_token(endpoint: Endpoint) -> RawHandshake:
    return endpoint.source("query").present(_from(endpoint, "https://evil.test"), endpoint.token())


def _foreign_with_bearer(endpoint: Endpoint) -> RawHandshake:
    return endpoint.source("header").present(_from(endpoint, "https://evil.test"), endpoint.token())


def _spoofed(header: str) -> Attack:
    return Attack(
        f"origin_own_in_{header.lower().replace('-', '_')}",
        Fault.ORIGIN,
        lambda endpoint: _from(endpoint, "https://evil.test").header(header, endpoint.url),
        _good,
        _COOKIE,
        "a header that a script or a proxy can add does not prove the origin",
    )


ORIGINS: Final = (
    *(_foreign(name, origin) for name, origin in FOREIGN.items()),
    *(_spoofed(header) for header in ("X-Forwarded-Origin", "X-Origin", "Referer")),
    Attack(
        "origin_rebound",
        Fault.ORIGIN,
        _rebound,
        _good,
        _COOKIE,
        "DNS rebinding: an origin that equals Host counts only if that Host is the server's",
        Severity.WEAKNESS,
    ),
    Attack(
        "origin_twice",
        Fault.HANDSHAKE,
        lambda endpoint: _from(endpoint, "{}").header("Origin", "https://evil.test"),
        _good,
        _COOKIE,
        "RFC 6454 section 7.3: one Origin header; two readers may pick different ones",
        Severity.WEAKNESS,
    ),
    Attack(
        "origin_foreign_beside_token_in_query",
        Fault.ORIGIN,
        _foreign_with_token,
        lambda endpoint: endpoint.source("query").present(_good(endpoint), endpoint.token()),
        _COOKIE | {"query"},
        _PAGE_OF_ITS_OWN,
        Severity.RULE,
    ),
    Attack(
        "origin_foreign_beside_token_in_header",
        Fault.ORIGIN,
        _foreign_with_bearer,
        lambda endpoint: endpoint.source("header").present(_good(endpoint), endpoint.token()),
        _COOKIE | {"header"},
        _PAGE_OF_ITS_OWN,
        Severity.RULE,
    ),
    Attack(
        "origin_foreign_with_expired_cookie",
        Fault.ORIGIN,
        lambda endpoint: replace(
            endpoint.with_token(endpoint.token(exp=1, iat=0), "cookie"),
            headers=(("Origin", "https://evil.test"), ("Cookie", _expired_pair(endpoint))),
        ),
        _good,
        _COOKIE | {"signing"},
        "a page of another origin must not learn whether its visitor is signed in",
        Severity.WEAKNESS,
    ),
)


def _expired_pair(endpoint: Endpoint) -> str:
    return f"{endpoint.source('cookie').name}={endpoint.token(exp=1, iat=0)}"
