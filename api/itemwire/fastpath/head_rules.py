"""Which complete request heads are refused, and with which status."""

import re
from http import HTTPStatus
from typing import Final

from itemwire.fastpath.handshake import Headers, refusal_of_size
from itemwire_auth.request_bounds import refusal_of_headers, refusal_of_target

BARE_HEAD_BYTES: Final = len(b"GET  HTTP/1.1\r\n\r\n")
BARE_HEADER_BYTES: Final = len(b": \r\n")
VERSIONS: Final = ("1.1", "1.0")
CHUNKED: Final = b"chunked"

# RFC 9112 section 3.2.2. The authority has no user: RFC 9110 section 4.2.4.
ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)((?:[/?][^#]*)?)", re.IGNORECASE)
# RFC 3986 section 3.2.2, empty for a target without authority; a zone as in RFC 6874.
HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+(?:%[\w.~%-]+)?\]|[\w.~%!$&'()*+,;=-]*)(?::[0-9]*)?")


def refusal_of_head(
    url: bytes, headers: Headers, *, version: str, method: bytes
) -> HTTPStatus | None:
    """Return the status that refuses a complete head, None if it is good."""
    size, hosts, is_host_good, codings = BARE_HEAD_BYTES + len(url), 0, True, None
    for name, value in headers:
        size += len(name) + len(value) + BARE_HEADER_BYTES
        if name == b"host":
            hosts += 1
            is_host_good = HOST.fullmatch(value) is not None
        elif name == b"transfer-encoding":
            codings = value if codings is None else codings + b"," + value
    refusal = refusal_of_size(size, len(url), len(headers)) or refusal_of_parts(url, headers)
    if refusal is not None:
        return refusal
    if version not in VERSIONS:
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    if codings is not None and (refusal := _refusal_of_codings(codings, version)) is not None:
        return refusal
    if method == b"CONNECT":  # what follows it is no HTTP, and this is no proxy
        return HTTPStatus.NOT_IMPLEMENTED
    is_clear = is_host_good and _is_host_clear(hosts, version)
    return None if is_clear and _is_target(url, method) else HTTPStatus.BAD_REQUEST


def refusal_of_parts(target: bytes, headers: Headers) -> HTTPStatus | None:
    """Return the status that refuses a head with too many parts, None if it is good."""
    path, _, query = target.partition(b"?")
    return refusal_of_target(path, query) or refusal_of_headers(headers)


def origin_form(target: bytes, headers: Headers) -> bytes:
    """Return the path and query of a target, and put its authority, if any, into Host.

    RFC 9112 section 3.2.2: what a proxy is told counts here, too, and more than the Host beside it.
    """
    match = None if target.startswith(b"/") else ABSOLUTE.fullmatch(target)
    if match is None:
        return target
    authority, path = match.groups()
    headers[:] = [(name, authority if name == b"host" else value) for name, value in headers]
    return path if path.startswith(b"/") else b"/" + path


def _is_target(target: bytes, method: bytes) -> bool:
    """Return whether a target has a form of RFC 9112 section 3.2; none has a fragment."""
    if target.startswith(b"/"):
        return b"#" not in target
    if target == b"*":
        return method == b"OPTIONS"
    match = ABSOLUTE.fullmatch(target)
    return match is not None and HOST.fullmatch(match[1]) is not None


def _refusal_of_codings(codings: bytes, version: str) -> HTTPStatus | None:
    """Refuse transfer codings that nothing decodes: the body would be taken as it came.

    RFC 9112 section 6.1: HTTP/1.0 has none of them, so its framing is faulty.
    """
    if version != "1.1":
        return HTTPStatus.BAD_REQUEST
    return None if codings.strip().lower() == CHUNKED else HTTPStatus.NOT_IMPLEMENTED


def _is_host_clear(hosts: int, version: str) -> bool:
    """Return whether the Host is unambiguous: exactly one (RFC 9112 section 3.2).

    HTTP/1.0 may have none: its upgrade is ignored, so it opens no socket.
    """
    return hosts == 1 if version == "1.1" else hosts <= 1
