"""Attacks with a good token: on items it gives no right to, on invalid ids, on the query."""

from __future__ import annotations

from typing import Final

from itemwire.testing.model import Attack, Fault
from itemwire_auth.testing import Severity

_IDS_WHY: Final = (
    "an id is checked once: two spellings must never reach one channel, and no id may break a log "
    "line or match an engine's pattern"
)

BAD_IDS: Final = {
    "empty": "",
    "space": "a%20b",
    "plus": "a+b",
    "slash": "a/b",
    "escaped_slash": "a%2Fb",
    "escaped_twice": "a%252Fb",
    "backslash": "a%5Cb",
    "percent": "100%25",
    "nul": "%00",
    "nul_after": "42%00",
    "line_break": "a%0D%0Ab",
    "line_feed_after": "42%0A",
    "terminal_escape": "%1B%5B2J",
    "dot": ".",
    "two_dots": "..",
    "two_escaped_dots": "%2e%2e",
    "traversal": "..%2F..%2Fetc%2Fpasswd",
    "too_long": "a" * 129,
    "far_too_long": "a" * 6000,
    "asterisk": "*",
    "redis_pattern": "a%3F%5Bbc%5D",
    "nats_wildcard": "a%3E",
    "hash_slot": "%7Ba%7D",
    "quote": "a'b",
    "sql": "42'%20OR%20'1'%3D'1",
    "template": "%7B%7B7*7%7D%7D",
    "fullwidth_digit": "%EF%BC%94%EF%BC%92",
    "umlaut": "%C3%A4",
    "right_to_left_mark": "%E2%80%8F42",
    "zero_width_space": "4%E2%80%8B2",
    "no_utf_8": "%FF",
    "overlong_utf_8": "%C0%AF",
    "surrogate": "%ED%A0%80",
}

# Values for the integer parameter that the route names.
BAD_NUMBERS: Final = {
    "word": "x",
    "empty": "",
    "fraction": "1.5",
    "hexadecimal": "0x10",
    "exponent": "1e2",
    "list": "1,2",
    "nul": "%00",
    "null": "null",
    "other_digits": "%D9%A3",
    "many_digits": "9" * 5000,
}


def _narrow(name: str, other: str) -> Attack:
    """Present a good token for another item; `{}` in its id is the id of the route's item."""
    return Attack(
        f"right_{name}",
        Fault.RIGHT,
        lambda endpoint: endpoint.with_token(
            endpoint.narrow(other.replace("{}", endpoint.route.item))
        ),
        lambda endpoint: endpoint.with_token(endpoint.narrow(endpoint.route.item)),
        frozenset({"narrow"}),
        "ASVS 5.0 8.2.2: a right is for exactly the item it names",
    )


def _id(name: str, item: str) -> Attack:
    return Attack(
        f"item_{name}",
        Fault.ITEM,
        lambda endpoint: endpoint.good(item=item),
        needs=frozenset({"item"}),
        why=_IDS_WHY,
        severity=Severity.RULE,
    )


def _stranger(name: str, item: str) -> Attack:
    return Attack(
        f"stranger_with_item_{name}",
        Fault.CREDENTIAL,
        lambda endpoint: endpoint.with_token("garbage", item=item),
        needs=frozenset({"item"}),
        why="an unauthenticated caller learns nothing else: the credential is checked first",
    )


def _number(name: str, value: str) -> Attack:
    return Attack(
        f"number_{name}",
        Fault.QUERY,
        lambda endpoint: endpoint.good().query(f"{endpoint.route.number}={value}"),
        lambda endpoint: endpoint.good().query(f"{endpoint.route.number}=1"),
        frozenset({"number"}),
        "an invalid value must be refused, not ignored: the client would not notice",
        Severity.RULE,
    )


ITEMS: Final = (
    _narrow("to_another_item", "7"),
    _narrow("to_a_longer_id", "{}0"),
    _narrow("to_a_shorter_id", "4"),
    _narrow("to_a_segment_below", "{}:x"),
    _narrow("to_a_glob_of_it", "4*"),
    _narrow("to_a_regular_expression", ".+"),
    *(_id(name, item) for name, item in BAD_IDS.items()),
    *(_stranger(name, BAD_IDS[name]) for name in ("space", "two_dots", "no_utf_8", "too_long")),
    *(_number(name, value) for name, value in BAD_NUMBERS.items()),
)
