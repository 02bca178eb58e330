"""How sockets are closed: the code and the word that a client is told, for each reason."""

from dataclasses import dataclass
from typing import Final

# RFC 6455 section 7.4 and its registry; 1004 to 1006 and 1015 are never sent.
SENDABLE_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})

MAX_REASON_BYTES: Final = 123  # RFC 6455 section 5.5: 125 for a control frame, 2 for the code

SERVER_ERROR: Final = 500  # an HTTP status, and all above it


@dataclass(frozen=True, slots=True)
class Close:
    """The close that the client is told."""

    code: int
    reason: str


TOKEN_EXPIRED: Final = Close(1008, "token_expired")
TOKEN_REVOKED: Final = Close(1008, "token_revoked")
FORBIDDEN: Final = Close(1008, "forbidden")
QUERY_INVALID: Final = Close(1008, "query_invalid")
PAYLOAD_INVALID: Final = Close(1007, "payload_invalid")
INTERNAL: Final = Close(1011, "internal")
DRAINING: Final = Close(1012, "draining")

CLOSE_OF_STATUS: Final[dict[int, Close]] = {
    400: QUERY_INVALID,
    401: Close(1008, "credentials_invalid"),
    403: FORBIDDEN,
    404: FORBIDDEN,  # an item that is denied and one that does not exist look the same
    422: QUERY_INVALID,
    429: Close(1008, "rate_limited"),
    503: Close(1013, "overloaded"),
}
"""The closes that stand for an HTTP status."""


def close_of_status(status: int) -> Close:
    """Return the close that stands for an HTTP status."""
    return CLOSE_OF_STATUS.get(status, FORBIDDEN if status < SERVER_ERROR else INTERNAL)


def sendable(code: int, reason: str) -> Close:
    """Return a close of an application's own as it may be sent.

    It is `internal` in place of a code that is never sent.
    """
    if code not in SENDABLE_CODES:
        return INTERNAL
    text = reason.encode(errors="replace")
    return Close(code, text[:MAX_REASON_BYTES].decode(errors="ignore"))


def sendable_text(text: str) -> str:
    """Return an application's sentence as it may be sent: no half of a surrogate pair."""
    return text.encode(errors="replace").decode()
