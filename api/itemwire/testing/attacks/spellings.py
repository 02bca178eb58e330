"""Attacks by spelling: tokens that a lenient parser repairs, or parsers read differently."""

from __future__ import annotations

from typing import Final

from itemwire.testing.model import Attack, Endpoint, Fault
from itemwire.testing.raw_handshakes import RawHandshake
from itemwire.testing.routes import Place
from itemwire_auth.testing import Severity

_WHY: Final = (
    "a token is never repaired: it must be presented exactly as signed (RFC 7515 section 5.2)"
)

# `{}` is a good token.
IN_QUERY: Final = {
    "space_before": "%20{}",
    "space_after": "{}%20",
    "plus_before": "+{}",
    "plus_after": "{}+",
    "tab_after": "{}%09",
    "line_break_after": "{}%0A",
    "nul_after": "{}%00",
    "nul_and_more": "{}%00.evil",
    "byte_order_mark": "%EF%BB%BF{}",
    "zero_width_space": "{}%E2%80%8B",
    "quoted": "%22{}%22",
    "bearer": "Bearer%20{}",
    "list": "{},{}",
    "padded": "{}%3D",
    "escaped_twice": "%2565{}",
    "no_utf_8": "{}%FF",
}
IN_COOKIE: Final = {
    "quoted": '"{}"',
    "list": "{},{}",
    "bearer": "Bearer {}",
    "space_within": "{} x",
    "padded": "{}=",
    "escaped": "%65{}",
}
IN_BEARER: Final = {
    "two_spaces": "Bearer  {}",
    "tab": "Bearer\t{}",
    "scheme_twice": "Bearer Bearer {}",
    "list": "Bearer {}, Bearer {}",
    "quoted": 'Bearer "{}"',
    "no_token": "Bearer",
    "parameter": "Bearer token={}",
    "more_after": "Bearer {} x",
    "colon": "Bearer: {}",
}
IN_SUBPROTOCOL: Final = {
    "padded": "{}=",
    "four_parts": "{}.x",
    "quoted": '"{}"',
}


def _row(place: Place, name: str, spelt: str, *needs: str) -> Attack:
    def make(endpoint: Endpoint) -> RawHandshake:
        source = endpoint.source(place)
        if place == "query":  # unescaped: `present` would escape it
            return endpoint.bare().query(f"{source.name}={spelt.replace('{}', endpoint.token())}")
        if "bearer" in needs:
            return endpoint.bare().header(source.name, spelt.replace("{}", endpoint.token()))
        return endpoint.with_token(spelt.replace("{}", endpoint.token()), place)

    # A subprotocol with other characters than a token's (RFC 6455 section 4.1) is refused by the
    # server, before the application sees it.
    is_http = place != "subprotocol" or name == "four_parts"
    return Attack(
        f"{place}_spelt_{name}",
        Fault.CREDENTIAL if is_http else Fault.HANDSHAKE,
        make,
        lambda endpoint: endpoint.good(place),
        frozenset({place, *needs}),
        _WHY,
        Severity.WEAKNESS if "nul" in name.split("_") else Severity.RULE,
    )


SPELLINGS: Final = (
    *(_row("query", name, spelt) for name, spelt in IN_QUERY.items()),
    *(_row("cookie", name, spelt) for name, spelt in IN_COOKIE.items()),
    *(_row("header", name, spelt, "bearer") for name, spelt in IN_BEARER.items()),
    *(_row("subprotocol", name, spelt, "prefix") for name, spelt in IN_SUBPROTOCOL.items()),
)
