"""Tests of request_bounds.py: what is counted, and that honest requests are far from it."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from itemwire_auth.credentials import find_credentials, has_query_field
from itemwire_auth.errors import InvalidCredential
from itemwire_auth.request_bounds import (
    MAX_COOKIE_BACKSLASHES,
    MAX_COOKIES,
    MAX_ESCAPES,
    MAX_LIST_MEMBERS,
    MAX_PATH_BYTES,
    MAX_QUERY_FIELDS,
    REFUSALS,
    SEPARATORS,
    refusal_of_headers,
    refusal_of_target,
)
from tests.auth.handshakes import handshake

TOO_LONG = HTTPStatus.REQUEST_URI_TOO_LONG


@pytest.mark.parametrize(
    ("path", "query", "refusal"),
    [
        pytest.param(b"/" * MAX_PATH_BYTES, b"", None, id="longest-path"),
        pytest.param(b"/" * (MAX_PATH_BYTES + 1), b"", TOO_LONG, id="longer-path"),
        pytest.param(b"/", b"&" * (MAX_QUERY_FIELDS - 1), None, id="most-fields"),
        pytest.param(b"/", b"&" * MAX_QUERY_FIELDS, HTTPStatus.BAD_REQUEST, id="one-field-more"),
        pytest.param(b"%41" * 24, b"%41" * (MAX_ESCAPES - 24), None, id="most-escapes"),
        pytest.param(
            b"%41" * 25, b"%41" * (MAX_ESCAPES - 24), HTTPStatus.BAD_REQUEST, id="one-escape-more"
        ),
        pytest.param(b"/", b"a" * 30_000, None, id="a-long-value"),
    ],
)
def test_bounds_a_target(path: bytes, query: bytes, refusal: HTTPStatus | None) -> None:
    """Escapes count in path and query together (requirement 122)."""
    assert refusal_of_target(path, query) is refusal


def test_the_bounds_are_those_that_are_documented() -> None:
    """docs/limits.md has them: who configures a proxy before this server goes by them."""
    assert (MAX_PATH_BYTES, MAX_ESCAPES, MAX_QUERY_FIELDS) == (8192, 1024, 64)
    assert (MAX_COOKIES, MAX_COOKIE_BACKSLASHES, MAX_LIST_MEMBERS) == (200, 128, 32)
    assert SEPARATORS[b"forwarded"] == {b",": 32, b";": 128}


@pytest.mark.parametrize(
    ("name", "separator", "most"),
    [
        (b"cookie", b";", MAX_COOKIES),
        (b"cookie", b"\\", MAX_COOKIE_BACKSLASHES),
        (b"connection", b",", MAX_LIST_MEMBERS),
        (b"sec-websocket-protocol", b",", MAX_LIST_MEMBERS),
        (b"sec-websocket-extensions", b",", MAX_LIST_MEMBERS),
        (b"sec-websocket-extensions", b";", 2 * MAX_LIST_MEMBERS),
        (b"x-forwarded-for", b",", MAX_LIST_MEMBERS),
    ],
)
def test_bounds_a_header_however_it_is_divided(name: bytes, separator: bytes, most: int) -> None:
    """Fields of one name are one list (RFC 9110 section 5.3)."""
    half = most // 2

    assert refusal_of_headers([(name, separator * most)]) is None
    assert refusal_of_headers([(name, separator * (most + 1))]) is REFUSALS[separator]
    assert refusal_of_headers([(name, separator * half), (name, separator * half)]) is None
    divided = [(name, separator * half), (b"x", b"y"), (name, separator * (half + 2))]
    assert refusal_of_headers(divided) is REFUSALS[separator]


def test_leaves_other_headers_as_they_are() -> None:
    """The twin: nothing splits them."""
    assert refusal_of_headers([(b"user-agent", b";,\\" * 10_000), (b"accept", b"," * 9000)]) is None


@pytest.mark.parametrize(
    ("query", "headers", "subprotocols"),
    [
        pytest.param("token=a" + "&" * MAX_QUERY_FIELDS, [], [], id="fields"),
        pytest.param("a=" + "%41" * (MAX_ESCAPES + 1), [], [], id="escapes"),
        pytest.param("", [("Cookie", "a=b;" * (MAX_COOKIES + 1))], [], id="cookies"),
        pytest.param("", [], ["a"] * (MAX_LIST_MEMBERS + 1), id="subprotocols"),
    ],
)
def test_looks_for_no_credential_in_too_much(
    query: str, headers: list[tuple[str, str]], subprotocols: list[str]
) -> None:
    """A server in front that bounds nothing, as in an application without `itemwire`."""
    with pytest.raises(InvalidCredential):
        find_credentials(handshake(query, headers, subprotocols=subprotocols), "session")


def test_takes_no_notice_of_a_long_query_without_a_credential() -> None:
    """The twin: a query that cannot name one is not parsed at all."""
    assert find_credentials(handshake("a&" * 20_000), "session") == ()


@pytest.mark.parametrize(
    ("query", "has"),
    [("a&" * 1000, False), ("token" + "&" * 1000, True), ("%41" * 2000, True), ("%74oken", True)],
)
def test_a_query_that_is_too_much_may_hold_a_credential(query: str, has: bool) -> None:
    """So its answer is not cached; without the name or an escape it holds none."""
    assert has_query_field(handshake(query).scope, ("token", "ticket")) is has
