"""Which complete request heads are refused, and with which status."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from itemwire.fastpath.handshake import Headers, refusal_of_size
from itemwire_auth.request_bounds import refusal_of_headers, refusal_of_target

BARE_HEAD_BYTES: Final = len(b"GET  HTTP/1.1\r\n\r\n")
BARE_HEADER_BYTES: Final = len(b": \r\n")


def refusal_of_head(
    url: bytes, headers: Headers, *, version: str, is_upgrade: Callable[[], bool]
) -> HTTPStatus | None:
    """Return the status that refuses a complete head, None if it is good.

    `is_upgrade` is called once the head is known to be small: it splits a header.
    """
    size, hosts = BARE_HEAD_BYTES + len(url), 0
    for name, value in headers:
        size += len(name) + len(value) + BARE_HEADER_BYTES
        if name == b"host":
            hosts += 1
    refusal = refusal_of_size(size, len(url), len(headers)) or refusal_of_parts(url, headers)
    if refusal is not None:
        return refusal
    return None if _is_host_clear(hosts, version, is_upgrade) else HTTPStatus.BAD_REQUEST


def refusal_of_parts(target: bytes, headers: Headers) -> HTTPStatus | None:
    """Return the status that refuses a head with too many parts, None if it is good."""
    path, _, query = target.partition(b"?")
    return refusal_of_target(path, query) or refusal_of_headers(headers)


def _is_host_clear(hosts: int, version: str, is_upgrade: Callable[[], bool]) -> bool:
    """Return whether the Host is unambiguous: exactly one (RFC 9112 section 3.2).

    HTTP/1.0 may have none, but cannot upgrade (RFC 6455 section 4.1).
    """
    if version == "1.1":
        return hosts == 1
    return hosts <= 1 and not is_upgrade()
