"""Attacks with credentials: none, bad ones in every place, two, in the wrong place."""

from __future__ import annotations

import itertools
from typing import Final

from itemwire.testing.knocks import Knock
from itemwire.testing.model import Attack, Door, Fault, Make
from itemwire.testing.routes import Place
from itemwire_auth.testing import BAD_TOKENS

PLACES: Final[tuple[Place, ...]] = ("query", "cookie", "header", "subprotocol")

# Rows of BAD_TOKENS that can be written anywhere, so that every place is known to check.
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
_OTHERS: Final = "a page or proxy can set what the route does not look at"


def _add(door: Door, knock: Knock, place: Place, token: str) -> Knock:
    return door.source(place).present(knock, token)


def _bad(place: Place, fault: str) -> Attack:
    return Attack(
        f"{place}_{fault}",
        Fault.CREDENTIAL,
        lambda door: door.with_token(BAD_TOKENS[fault](door.route.tokens), place),
        lambda door: door.good(place),
        frozenset({place}),
        "RFC 8725: a token is checked wherever it is presented",
    )


def _empty(place: Place) -> Attack:
    return Attack(
        f"{place}_empty",
        Fault.CREDENTIAL,
        lambda door: door.with_token("", place),
        lambda door: door.good(place),
        frozenset({place}),
        "an empty credential is none",
    )


def _two(place: Place, name: str, first: str | None, second: str | None) -> Attack:
    """Present two tokens in one place: bad ones by their row, good ones by None."""

    def make(door: Door) -> Knock:
        knock = door.with_token(_token(door, first), place)
        return _add(door, knock, place, _token(door, second))

    return Attack(
        f"{place}_{name}",
        Fault.CREDENTIAL,
        make,
        lambda door: door.good(place),
        frozenset({place}),
        _TWICE,
    )


def _token(door: Door, fault: str | None) -> str:
    return door.token() if fault is None else BAD_TOKENS[fault](door.route.tokens)


def _beside(first: Place, second: Place, name: str, claims: dict[str, object]) -> Attack:
    """Present a good token in one place, and one with these claims in another."""

    def make(door: Door) -> Knock:
        # A cookie comes first, with its origin.
        pair = (second, first) if second == "cookie" else (first, second)
        tokens = {first: door.token(), second: door.token(**claims)}
        return _add(door, door.with_token(tokens[pair[0]], pair[0]), pair[1], tokens[pair[1]])

    return Attack(
        f"{first}_good_beside_{second}_{name}",
        Fault.CREDENTIAL,
        make,
        lambda door: door.good(first),
        frozenset({first, second}),
        "no silent preference: whoever is logged must be who is meant",
    )


def _missing(name: str, make: Make, *needs: str, why: str = _OTHERS) -> Attack:
    place = next((place for place in PLACES if place in needs), None)
    return Attack(name, Fault.MISSING, make, lambda door: door.good(place), frozenset(needs), why)


def _as_query(door: Door, name: str) -> Knock:
    return door.bare().query(f"{name}={door.token()}")


def _as_header(door: Door, name: str, form: str = "Bearer {}") -> Knock:
    return door.bare().header(name, form.replace("{}", door.token()))


def _as_cookie(door: Door, pair: str) -> Knock:
    return door.bare().header("Origin", door.url).cookie(pair.replace("{}", door.token()))


def _elsewhere(door: Door, header: str) -> Knock:
    return door.bare().header(header, door.good("query").target)


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
        why="CVE-2021-23336: a semicolon separates nothing",
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
