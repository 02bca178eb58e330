"""Bounds the parts of a request, counted in its bytes before anything parses it.

A parser makes objects of each field, cookie, list member and escape, so a head of 64 KiB that is
nothing but separators costs 50 times the work of a token with a bad signature. Counting a byte in
64 KiB takes 20 µs. The bounds are a multiple of the largest honest use: browsers keep 180 cookies
of a site, though rarely more than 50, and no proxy chain has 32 members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

MAX_PATH_BYTES: Final = 8 * 1024  # an item's id, escaped, has at most 384
MAX_ESCAPES: Final = 1024  # of path and query together, which are unquoted more than once
MAX_QUERY_FIELDS: Final = 64
MAX_COOKIES: Final = 200
MAX_LIST_MEMBERS: Final = 32
# A cookie has no backslash (RFC 6265 section 4.1.1), a quoted one has a few. Python before 3.11.10
# takes 5 s to unquote 60 KiB of them (CVE-2024-7592), and every socket waits meanwhile.
MAX_COOKIE_BACKSLASHES: Final = 128

# For each header that is split, by us or by a server, the separators and how many it may have.
_LIST: Final = {b",": MAX_LIST_MEMBERS}
SEPARATORS: Final[Mapping[bytes, Mapping[bytes, int]]] = {
    b"connection": _LIST,
    b"cookie": {b";": MAX_COOKIES, b"\\": MAX_COOKIE_BACKSLASHES},
    b"forwarded": {b",": MAX_LIST_MEMBERS, b";": 4 * MAX_LIST_MEMBERS},
    b"sec-websocket-extensions": {b",": MAX_LIST_MEMBERS, b";": 2 * MAX_LIST_MEMBERS},
    b"sec-websocket-protocol": _LIST,
    b"x-forwarded-for": _LIST,
    b"x-forwarded-proto": _LIST,
}

REFUSALS: Final = {
    b",": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    b";": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    b"\\": HTTPStatus.BAD_REQUEST,  # no grammar allows them, however few they are
}


def refusal_of_target(path: bytes, query: bytes) -> HTTPStatus | None:
    """Return the status that refuses a request target with too many parts, None if it is good.

    Both are as they came, with their escapes.
    """
    if len(path) > MAX_PATH_BYTES:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    too_many_fields = has_too_many_fields(query)
    if too_many_fields or path.count(b"%") + query.count(b"%") > MAX_ESCAPES:
        return HTTPStatus.BAD_REQUEST
    return None


def has_too_many_fields(query: bytes) -> bool:
    """Return whether a query has more fields than any of ours."""
    return query.count(b"&") >= MAX_QUERY_FIELDS


def refusal_of_headers(headers: Iterable[tuple[bytes, bytes]]) -> HTTPStatus | None:
    """Return the status that refuses headers with too many members, None if they are good.

    Names are in lower case. Fields of one name count together, as they are read together.
    """
    counts: dict[tuple[bytes, bytes], int] = {}
    for name, value in headers:
        if name not in SEPARATORS:
            continue
        for separator, most in SEPARATORS[name].items():
            kind = name, separator
            counts[kind] = counts.get(kind, 0) + value.count(separator)
            if counts[kind] > most:
                return REFUSALS[separator]
    return None
