"""What is answered to bytes that are no request which can be served."""

import json
import re
from http import HTTPStatus
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from itemwire.fastpath.handshake import NO_STORE, Headers

# A method is any token, and case matters in it (RFC 9110 section 9.1).
REQUEST_LINE: Final = re.compile(
    rb"(?:\r?\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ \r\n]+ HTTP/1\.[01]\r\n"
)


def status_of_fault(fault: BaseException | None, data: bytes) -> HTTPStatus:
    """Return the status for what the parser refused: 501 for a method that it does not know."""
    is_method = isinstance(fault, httptools.HttpParserInvalidMethodError)
    if is_method and REQUEST_LINE.match(data):
        return HTTPStatus.NOT_IMPLEMENTED
    return HTTPStatus.BAD_REQUEST


def render_fault(status: int, headers: Headers, text: str) -> bytes:
    """Render a complete response that ends the connection, with a problem as all errors have."""
    known = HTTPStatus(status)
    problem = {
        "type": "about:blank",
        "title": known.phrase,
        "status": status,
        "detail": text,
        "code": known.name.lower(),
    }
    body = json.dumps(problem, separators=(",", ":")).encode()
    lines = [
        *headers,
        (b"connection", b"close"),
        NO_STORE,
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return STATUS_LINE[status] + fields + b"\r\n" + body
