"""Attacks from foreign pages: the browser adds the user's cookie by itself (CWE-1385)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from itemwire.testing.knocks import Knock
from itemwire.testing.model import Attack, Door, Fault

_COOKIE: Final = frozenset({"cookie"})
_WHY: Final = "CWE-1385, ASVS 5.0 4.4.2: a cookie counts only with an origin that is allowed"

# `{}` is the server's own origin, `{host}` its name and port.
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


def _from(door: Door, origin: str) -> Knock:
    """Come with a good cookie from a page of an origin."""
    knock = door.source("cookie").present(door.bare(), door.token())
    return knock.header("Origin", origin.replace("{}", door.url).replace("{host}", door.host))


def _foreign(name: str, origin: str) -> Attack:
    return Attack(
        f"origin_{name}", Fault.ORIGIN, lambda door: _from(door, origin), _good, _COOKIE, _WHY
    )


def _good(door: Door) -> Knock:
    return door.good("cookie")


def _rebound(door: Door) -> Knock:
    """Come from a page whose name now leads here: its Origin and the Host header agree."""
    rebound = f"evil.test:{door.host.rpartition(':')[2]}"
    return _from(door, f"http://{rebound}").instead("Host", rebound)


def _foreign_with_token(door: Door) -> Knock:
    return door.source("query").present(_from(door, "https://evil.test"), door.token())


def _foreign_with_bearer(door: Door) -> Knock:
    return door.source("header").present(_from(door, "https://evil.test"), door.token())


def _spoofed(header: str) -> Attack:
    return Attack(
        f"origin_own_in_{header.lower().replace('-', '_')}",
        Fault.ORIGIN,
        lambda door: _from(door, "https://evil.test").header(header, door.url),
        _good,
        _COOKIE,
        "what a page's script or a proxy adds is no origin",
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
        "DNS rebinding: Host is checked before an origin that equals it is taken for the own",
    ),
    Attack(
        "origin_twice",
        Fault.HANDSHAKE,
        lambda door: _from(door, "{}").header("Origin", "https://evil.test"),
        _good,
        _COOKIE,
        "RFC 6454 section 7.3: one Origin header; two readers may pick different ones",
    ),
    Attack(
        "origin_foreign_beside_token_in_query",
        Fault.ORIGIN,
        _foreign_with_token,
        lambda door: door.source("query").present(_good(door), door.token()),
        _COOKIE | {"query"},
        _WHY,
    ),
    Attack(
        "origin_foreign_beside_token_in_header",
        Fault.ORIGIN,
        _foreign_with_bearer,
        lambda door: door.source("header").present(_good(door), door.token()),
        _COOKIE | {"header"},
        _WHY,
    ),
    Attack(
        "origin_foreign_with_expired_cookie",
        Fault.ORIGIN,
        lambda door: replace(
            door.with_token(door.token(exp=1, iat=0), "cookie"),
            headers=(("Origin", "https://evil.test"), ("Cookie", _expired_pair(door))),
        ),
        _good,
        _COOKIE,
        "a foreign page must not learn whether its visitor is signed in",
    ),
)


def _expired_pair(door: Door) -> str:
    return f"{door.source('cookie').name}={door.token(exp=1, iat=0)}"
