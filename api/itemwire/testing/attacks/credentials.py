"""Attacks with credentials: none at all, bad ones, two at once, or in the wrong place."""

from __future__ import annotations

import itertools
from typing import Final

from itemwire.testing.model import Attack, Endpoint, Fault, Make
from itemwire.testing.raw_handshakes import RawHandshake
from itemwire.testing.routes import Place
from itemwire_auth.testing import Severity, needs_of, severity_of

PLACES: Final[tuple[Place, ...]] = ("query", "cookie", "header", "subprotocol")

# Rows of BAD_TOKENS that fit into every place: each place must check the token.
IN_EVERY_PLACE: Final = (
    "garbage",
    "expired",
    "not_yet_valid",
    "no_exp",
    "wrong_signature",
    "changed_payload",
    "unsigned",
    "wrong_issuer",
    "wrong_audience",
)

OTHERS: Final[dict[str, dict[str, object]]] = {
    "of_another": {"sub": "mallory"},
    "expired": {"exp": 1, "iat": 0},
}

_TWICE: Final = "ASVS 5.0 15.3.7: of two credentials, two readers may pick different ones"
_OTHERS: Final = "a page or a proxy can set places that the route does not read"


def _add(endpoint: Endpoint, handshake: RawHandshake, place: Place, token: str) -> RawHandshake:
    return endpoint.source(place).present(handshake, token)


def _bad(place: Place, fault: str) -> Attack:
    return Attack(
        f"{place}_{fault}",
        Fault.CREDENTIAL,
        lambda endpoint: endpoint.with_token(endpoint.bad(fault), place),
        lambda endpoint: endpoint.good(place),
        frozenset({place}) | needs_of(fault),
        "RFC 8725: a token is checked in every place where it is presented",
        severity_of(fault),
    )


def _empty(place: Place) -> Attack:
    return Attack(
        f"{place}_empty",
        Fault.CREDENTIAL,
        lambda endpoint: endpoint.with_token("", place),
        lambda endpoint: endpoint.good(place),
        frozenset({place}),
        "an empty credential is not a credential",
    )


def _two(place: Place, name: str, first: str | None, second: str | None) -> Attack:
    """Present two tokens in one place: a row of BAD_TOKENS, or None for a good one."""

    def make(endpoint: Endpoint) -> RawHandshake:
        handshake = endpoint.with_token(_token(endpoint, first), place)
        return _add(endpoint, handshake, place, _token(endpoint, second))

    return Attack(
        f"{place}_{name}",
        Fault.CREDENTIAL,
        make,
        lambda endpoint: endpoint.good(place),
        frozenset({place}),
        _TWICE,
        Severity.WEAKNESS,
    )


def _token(endpoint: Endpoint, fault: str | None) -> str:
    return endpoint.token() if fault is None else endpoint.bad(fault)


def _beside(first: Place, second: Place, name: str, claims: dict[str, object]) -> Attack:
    """Present a good token in one place, and one with these claims in another place."""

    def make(endpoint: Endpoint) -> RawHandshake:
        # `with_token` adds the Origin that a cookie needs, so the cookie comes first.
        pair = (second, first) if second == "cookie" else (first, second)
        tokens = {first: endpoint.token(), second: endpoint.token(**claims)}
        return _add(
            endpoint, endpoint.with_token(tokens[pair[0]], pair[0]), pair[1], tokens[pair[1]]
        )

    return Attack(
        f"{first}_good_beside_{second}_{name}",
        Fault.CREDENTIAL,
        make,
        lambda endpoint: endpoint.good(first),
        frozenset({first, second, "signing"}),
        "no silent preference: the subject in the log must be the one the client meant",
        Severity.RULE,
    )


def _missing(name: str, make: Make, *needs: str, why: str = _OTHERS) -> Attack:
    place: Place | None = next((place for place in PLACES if place in needs), None)
    # What presents a good token, but in another place, lets in nobody who could not have come.
    return Attack(
        name,
        Fault.MISSING,
        make,
        lambda endpoint: endpoint.good(place),
        frozenset(needs),
        why,
        Severity.WEAKNESS if needs else Severity.HOLE,
    )


def _as_query(endpoint: Endpoint, name: str) -> RawHandshake:
    return endpoint.bare().query(f"{name}={endpoint.token()}")


def _as_header(endpoint: Endpoint, name: str, form: str = "Bearer {}") -> RawHandshake:
    return endpoint.bare().header(name, form.replace("{}", endpoint.token()))


def _as_cookie(endpoint: Endpoint, pair: str) -> RawHandshake:
    return (
        endpoint.bare().header("Origin", endpoint.url).cookie(pair.replace("{}", endpoint.token()))
    )


def _elsewhere(endpoint: Endpoint, header: str) -> RawHandshake:
    return endpoint.bare().header(header, endpoint.good("query").target)


def _admin(header: str) -> Attack:
    return _missing(
        f"header_{header.lower().replace('-', '_')}", lambda d: d.bare().header(header, "admin")
    )


CREDENTIALS: Final = (
    _missing("no_credential", lambda d: d.bare(), why="an upgrade without a credential"),
    *(_empty(place) for place in PLACES),
    *(_bad(place, fault) for place in PLACES for fault in IN_EVERY_PLACE),
    *(_two(place, "twice", None, None) for place in PLACES),
    *(_two(place, "bad_before_good", "garbage", None) for place in PLACES),
    *(_two(place, "good_before_bad", None, "garbage") for place in PLACES),
    *(
        _beside(first, second, name, claims)
        for first, second in itertools.combinations(PLACES, 2)
        for name, claims in OTHERS.items()
    ),
    _missing(
        "query_in_other_case", lambda d: _as_query(d, d.source("query").name.title()), "query"
    ),
    _missing("query_as_list", lambda d: _as_query(d, f"{d.source('query').name}[]"), "query"),
    _missing("query_with_nul", lambda d: _as_query(d, f"{d.source('query').name}%00"), "query"),
    _missing("query_with_space", lambda d: _as_query(d, f"%20{d.source('query').name}"), "query"),
    _missing("query_nested", lambda d: _as_query(d, f"a[{d.source('query').name}]"), "query"),
    _missing(
        "query_after_semicolon",
        lambda d: _as_query(d, f"a=1;{d.source('query').name}"),
        "query",
        why="CVE-2021-23336: a semicolon does not separate query parameters",
    ),
    _missing("query_in_x_original_url", lambda d: _elsewhere(d, "X-Original-URL"), "query"),
    _missing("query_in_x_rewrite_url", lambda d: _elsewhere(d, "X-Rewrite-URL"), "query"),
    _missing("query_in_referer", lambda d: _elsewhere(d, "Referer"), "query"),
    _missing(
        "cookie_in_other_case",
        lambda d: _as_cookie(d, d.source("cookie").name.title() + "={}"),
        "cookie",
    ),
    _missing(
        "cookie_with_longer_name",
        lambda d: _as_cookie(d, f"x{d.source('cookie').name}={{}}"),
        "cookie",
    ),
    _missing(
        "cookie_of_host_prefix",
        lambda d: _as_cookie(d, f"__Host-{d.source('cookie').name}={{}}"),
        "cookie",
    ),
    _missing("cookie_without_name", lambda d: _as_cookie(d, "{}"), "cookie"),
    _missing(
        "header_basic", lambda d: _as_header(d, "Authorization", "Basic {}"), "bearer", "header"
    ),
    _missing(
        "header_no_scheme", lambda d: _as_header(d, "Authorization", "{}"), "bearer", "header"
    ),
    _missing(
        "header_longer_scheme",
        lambda d: _as_header(d, "Authorization", "BearerX {}"),
        "bearer",
        "header",
    ),
    _missing(
        "header_proxy_authorization", lambda d: _as_header(d, "Proxy-Authorization"), "header"
    ),
    _missing("header_x_authorization", lambda d: _as_header(d, "X-Authorization"), "header"),
    *(
        _admin(header)
        for header in ("X-User", "X-Forwarded-User", "X-Remote-User", "Remote-User", "From")
    ),
    _missing(
        "subprotocol_prefix_in_other_case",
        lambda d: d.bare().offer(d.source("subprotocol").form.upper().replace("{}", d.token())),
        "subprotocol",
        "prefix",
    ),
    _missing(
        "subprotocol_without_prefix", lambda d: d.bare().offer(d.token()), "subprotocol", "prefix"
    ),
)
