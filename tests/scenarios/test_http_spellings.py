"""How a request may be spelt: what our classes answer, and what uvicorn's own do beside them.

Each spelling is followed by a plain request on the same connection, so what is taken must be read
to its end and no further; what is refused must end the connection (RFC 9112 section 11.2).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import token
from tests.scenarios.conftest import Serve, fastpath_only, stock_only
from tests.scenarios.raw_http import answers_to

LAST: Final = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
H2C: Final = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
BODY: Final = b'{"a":1}'
CHUNKS: Final = b'7\r\n{"a":1}\r\n0\r\n\r\n'


class Spelling(NamedTuple):
    """The bytes of one request, and the status of each answer to it and the request after it."""

    sent: bytes
    ours: tuple[int, ...]
    stock: tuple[int, ...]


def get(line: str, *headers: str, host: str = "Host: a") -> bytes:
    """Write a request without a body."""
    fields = [host, *headers] if host else headers
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1")


def post(*headers: str, body: bytes, line: str = "POST /items/spelt/messages HTTP/1.1") -> bytes:
    """Write a publish; `AUTH` stands for the credential."""
    head = get(line, "Authorization: Bearer AUTH", "Content-Type: application/json", *headers)
    return head + body


def sized(*headers: str, body: bytes = BODY) -> bytes:
    """Write a publish that says how long its body is."""
    return post(f"Content-Length: {len(body)}", *headers, body=body)


def live(*headers: str, host: str = "Host: a") -> bytes:
    """Write the simplest request."""
    return get("GET /health/live HTTP/1.1", *headers, host=host)


def chunked(*headers: str) -> bytes:
    """Write a publish whose body comes in chunks."""
    return post(*headers, body=CHUNKS)


TAKEN: Final = {
    "plain": Spelling(sized(), (201, 200), (201, 200)),
    "chunks": Spelling(chunked("Transfer-Encoding: chunked"), (201, 200), (201, 200)),
    "chunks in capitals": Spelling(chunked("Transfer-Encoding: Chunked"), (201, 200), (201, 200)),
    "an upgrade to HTTP/2": Spelling(sized(*H2C), (201, 200), (422,)),
    "the same in chunks": Spelling(chunked("Transfer-Encoding: chunked", *H2C), (201, 200), (422,)),
    "an upgrade to TLS": Spelling(
        sized("Connection: Upgrade", "Upgrade: TLS/1.0"), (201, 200), (422,)
    ),
    "an upgrade of a GET": Spelling(live(*H2C), (200, 200), (200,)),
    "two upgrades in a row": Spelling(sized(*H2C) * 2, (201, 201, 200), (422,)),
    "the whole URL": Spelling(get("GET http://a/health/live HTTP/1.1"), (200, 200), (200, 200)),
    "a URL in capitals": Spelling(
        get("GET HTTPS://A/health/live HTTP/1.1"), (200, 200), (200, 200)
    ),
    "a URL without a path": Spelling(get("GET http://a HTTP/1.1"), (200, 200), (400,)),
    "a URL with a query alone": Spelling(get("GET http://a?b=c HTTP/1.1"), (200, 200), (400,)),
    "the whole server": Spelling(get("OPTIONS * HTTP/1.1"), (204, 200), (204, 200)),
    "an empty Host": Spelling(live(host="Host:"), (200, 200), (200, 200)),
    "a Host in IPv6": Spelling(live(host="Host: [::1]:8000"), (200, 200), (200, 200)),
    "an empty line ahead": Spelling(b"\r\n" + live(), (200, 200), (200, 200)),
    "an escaped letter": Spelling(get("GET /health/%6cive HTTP/1.1"), (200, 200), (200, 200)),
    "a range of a page": Spelling(
        get("GET /console/console.css HTTP/1.1", "Range: bytes=0-0"), (206, 200), (206, 200)
    ),
    "a range of what has none": Spelling(live("Range: bytes=0-0"), (200, 200), (200, 200)),
    "a copy that is the same": Spelling(
        get("GET /itemwire.js HTTP/1.1", "If-None-Match: *"), (304, 200), (304, 200)
    ),
    "no coding at all": Spelling(sized("Content-Encoding: identity"), (201, 200), (201, 200)),
    "an expectation": Spelling(sized("Expect: 100-continue"), (100, 201, 200), (100, 201, 200)),
    "a chunk extension": Spelling(
        post("Transfer-Encoding: chunked", body=b"1;a=b\r\n1\r\n0\r\n\r\n"), (201, 200), (201, 200)
    ),
    "a long list of empty headers": Spelling(live(*["X:"] * 100), (200, 200), (200, 200)),
}

HTTP_10: Final = {
    "HTTP/1.0": Spelling(get("GET /health/live HTTP/1.0", host=""), (200,), (200,)),
    "HTTP/1.0 that would stay": Spelling(
        get("GET /health/live HTTP/1.0", "Connection: keep-alive"), (200,), (200,)
    ),
    # RFC 9110 section 10.1.1: an old client would take the 100 for its answer.
    "HTTP/1.0 with an expectation": Spelling(
        post(
            "Expect: 100-continue",
            "Content-Length: 7",
            body=BODY,
            line="POST /items/spelt/messages HTTP/1.0",
        ),
        (201,),
        (100, 201),
    ),
}

REFUSED: Final = {
    "two lengths": Spelling(
        post("Content-Length: 7", "Content-Length: 7", body=BODY), (400,), (400,)
    ),
    "a list of lengths": Spelling(post("Content-Length: 7, 7", body=BODY), (400,), (400,)),
    "a signed length": Spelling(post("Content-Length: +7", body=BODY), (400,), (400,)),
    "a negative length": Spelling(post("Content-Length: -7", body=BODY), (400,), (400,)),
    "a length in hex": Spelling(post("Content-Length: 0x7", body=BODY), (400,), (400,)),
    "a length beside chunks": Spelling(
        chunked("Content-Length: 7", "Transfer-Encoding: chunked"), (400,), (400,)
    ),
    "chunks twice": Spelling(chunked("Transfer-Encoding: chunked, chunked"), (400,), (400,)),
    "chunks that are compressed": Spelling(
        chunked("Transfer-Encoding: gzip, chunked"), (501,), (201, 200)
    ),
    "the same in two headers": Spelling(
        chunked("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), (501,), (201, 200)
    ),
    "compressed without chunks": Spelling(chunked("Transfer-Encoding: gzip"), (501,), (400,)),
    "chunks of HTTP/1.0": Spelling(
        post("Transfer-Encoding: chunked", body=CHUNKS, line="POST /items/spelt/messages HTTP/1.0"),
        (400,),
        (201,),
    ),
    "chunks between line feeds": Spelling(
        post("Transfer-Encoding: chunked", body=b"1\n1\n0\n\n"), (400,), (400,)
    ),
    "line feeds alone": Spelling(b"GET /health/live HTTP/1.1\nHost: a\n\n", (400,), (400,)),
    "a line feed after a header": Spelling(
        b"GET /health/live HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", (400,), (400,)
    ),
    "a carriage return in a header": Spelling(live("X: b\rc"), (400,), (400,)),
    "a NUL in a header": Spelling(live("X: b\0c"), (400,), (400,)),
    "a folded header": Spelling(live("X: b\r\n c"), (400,), (400,)),
    "a space before the colon": Spelling(live("X : b"), (400,), (400,)),
    "a header without a name": Spelling(live(": b"), (400,), (400,)),
    "no Host": Spelling(live(host=""), (400,), (200, 200)),
    "two Hosts": Spelling(live("Host: a"), (400,), (200, 200)),
    "a Host with a space": Spelling(live(host="Host: a b"), (400,), (200, 200)),
    "a list of Hosts": Spelling(live(host="Host: a, b"), (400,), (200, 200)),
    "a Host with a user": Spelling(live(host="Host: u@a"), (400,), (200, 200)),
    "a Host with a path": Spelling(live(host="Host: a/b"), (400,), (200, 200)),
    "a URL with a user": Spelling(get("GET http://u@a/health/live HTTP/1.1"), (400,), (200, 200)),
    "a URL of another kind": Spelling(get("GET ftp://a/health/live HTTP/1.1"), (400,), (200, 200)),
    "a fragment": Spelling(get("GET /health/live#a HTTP/1.1"), (400,), (200, 200)),
    "no slash": Spelling(get("GET health/live HTTP/1.1"), (400,), (400,)),
    "letters beyond ASCII": Spelling(get("GET /health/\xe9 HTTP/1.1"), (400,), (400,)),
    "the whole server by GET": Spelling(get("GET * HTTP/1.1"), (400,), (404, 200)),
    "a tunnel": Spelling(get("CONNECT a:443 HTTP/1.1"), (501,), (400,)),
    "a tunnel to a path": Spelling(get("CONNECT /health/live HTTP/1.1"), (501,), (405,)),
    "a method in lower case": Spelling(get("get /health/live HTTP/1.1"), (501,), (400,)),
    "a method that nobody knows": Spelling(get("BREW /health/live HTTP/1.1"), (501,), (400,)),
    "HTTP/2.0": Spelling(get("GET /health/live HTTP/2.0"), (505,), (200,)),
    "HTTP/1.2": Spelling(get("GET /health/live HTTP/1.2"), (400,), (400,)),
    "the preface of HTTP/2": Spelling(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,), (400,)),
    "what is no HTTP": Spelling(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,), (400,)),
}

NOT_FOUND: Final = {
    "two slashes": Spelling(get("GET //health/live HTTP/1.1"), (404, 200), (404, 200)),
    "two slashes within": Spelling(get("GET /health//live HTTP/1.1"), (404, 200), (404, 200)),
    "dots": Spelling(get("GET /health/../health/live HTTP/1.1"), (404, 200), (404, 200)),
    "escaped dots": Spelling(get("GET /console/%2e%2e/main.py HTTP/1.1"), (404, 200), (404, 200)),
    "a bad escape": Spelling(get("GET /health/%zz HTTP/1.1"), (404, 200), (404, 200)),
    "a NUL": Spelling(get("GET /console/%00 HTTP/1.1"), (404, 200), (404, 200)),
    "a known method": Spelling(get("PROPFIND /health/live HTTP/1.1"), (405, 200), (405, 200)),
    "a compressed body": Spelling(sized("Content-Encoding: gzip"), (415, 200), (415, 200)),
    "a body compressed twice": Spelling(
        sized("Content-Encoding: identity", "Content-Encoding: br"), (415, 200), (415, 200)
    ),
    "a range beyond the end": Spelling(
        get("GET /console/console.css HTTP/1.1", "Range: bytes=999999-"), (416, 200), (416, 200)
    ),
}

SPELLINGS: Final = {**TAKEN, **HTTP_10, **REFUSED, **NOT_FOUND}


def statuses(server: LiveServer, sent: bytes) -> tuple[int, ...]:
    """Give the status of each answer to these bytes and a plain request after them."""
    sent = sent.replace(b"AUTH", token("backend").encode())
    return tuple(answer.status for answer in answers_to(server, sent + LAST))


@fastpath_only
@pytest.mark.parametrize("name", SPELLINGS)
def test_our_classes_read_a_spelling_as_the_standard_does(
    serve: Serve, server: LiveServer, name: str
) -> None:
    """As the strictest peer reads it, and tolerant where RFC 9110 and 9112 say so (139)."""
    assert serve.protocols.http != "httptools"
    assert statuses(server, SPELLINGS[name].sent) == SPELLINGS[name].ours


@stock_only
@pytest.mark.parametrize("name", SPELLINGS)
def test_uvicorns_own_classes_read_it_like_this(
    serve: Serve, server: LiveServer, name: str
) -> None:
    """What `itemwire serve` has of its own, and what the application does on every server."""
    assert serve.protocols.http == "httptools"
    assert statuses(server, SPELLINGS[name].sent) == SPELLINGS[name].stock


@fastpath_only
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why_as_all_errors_do(
    serve: Serve, server: LiveServer, name: str
) -> None:
    """A client that reads problems reads this one, too, and no cache keeps it."""
    assert serve.protocols.http != "httptools"
    sent = REFUSED[name].sent.replace(b"AUTH", token("backend").encode())
    (answer,) = answers_to(server, sent + LAST)

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["cache-control"] == "no-store"
    assert f'"status":{answer.status},'.encode() in answer.body


def test_the_answer_to_a_compressed_body_says_what_is_taken(server: LiveServer) -> None:
    """RFC 9110 section 12.5.3: so that a client can tell a coding from a media type."""
    sent = sized("Content-Encoding: gzip").replace(b"AUTH", token("backend").encode())
    refused, _ = answers_to(server, sent + LAST)

    assert (refused.status, refused.headers["accept-encoding"]) == (415, "identity")
