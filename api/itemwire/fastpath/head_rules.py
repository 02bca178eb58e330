"""Which complete request heads are refused, and with which status."""

from http import HTTPStatus
from typing import Final

from itemwire.fastpath.handshake import Headers, refusal_of_size

# A cookie has no backslash (RFC 6265 section 4.1.1), a quoted one has a few. Python before 3.11.10
# takes 5 s to unquote 60 KiB of them (CVE-2024-7592), and every socket waits meanwhile.
MAX_COOKIE_BACKSLASHES: Final = 256
BARE_HEAD_BYTES: Final = len(b"GET  HTTP/1.1\r\n\r\n")
BARE_HEADER_BYTES: Final = len(b": \r\n")


def refusal_of_head(
    url: bytes, headers: Headers, *, version: str, is_upgrade: bool
) -> HTTPStatus | None:
    """Return the status that refuses a complete head, None if it is good."""
    size, hosts, slashes = BARE_HEAD_BYTES + len(url), 0, 0
    for name, value in headers:
        size += len(name) + len(value) + BARE_HEADER_BYTES
        if name == b"host":
            hosts += 1
        elif name == b"cookie":
            slashes += value.count(b"\\")
    too_large = refusal_of_size(size, len(url), len(headers))
    if too_large is not None:
        return too_large
    is_clear = _is_host_clear(hosts, version, is_upgrade=is_upgrade)
    return None if is_clear and slashes <= MAX_COOKIE_BACKSLASHES else HTTPStatus.BAD_REQUEST


def _is_host_clear(hosts: int, version: str, *, is_upgrade: bool) -> bool:
    """Return whether the Host is unambiguous: exactly one (RFC 9112 section 3.2).

    HTTP/1.0 may have none, but cannot upgrade (RFC 6455 section 4.1).
    """
    if version == "1.1":
        return hosts == 1
    return hosts <= 1 and not is_upgrade
