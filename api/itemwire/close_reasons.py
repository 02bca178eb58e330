"""Every reason for which the server ends a connection: the one table of them."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Retry(StrEnum):
    """What a client should do after the close."""

    NEVER = "never"
    TOKEN = "token"  # noqa: S105 - a verdict, not a secret
    LATER = "later"
    NOW = "now"


# The longest verdict, `;retry=token`, fits behind it, into the 123 that a reason may have.
MAX_BYTES_BEFORE_VERDICT: Final = 110

_WITH_VERDICT: Final = re.compile(r"(.*);retry=(never|token|later|now)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CloseReason:
    """A stable word for why a connection ended, and what its client should do next.

    `code` is the WebSocket close code (RFC 6455 section 7.4). `status` is the HTTP status of the
    same refusal where handshakes are denied rather than accepted and closed.
    """

    reason: str
    code: int
    retry: Retry
    status: int
    meaning: str

    @property
    def is_temporary(self) -> bool:
        """Return whether the same request may succeed later, without a new token."""
        return self.retry in {Retry.LATER, Retry.NOW}

    @property
    def with_verdict(self) -> str:
        """Return the text of the close frame for a client that asked for hints."""
        short = self.reason.encode()[:MAX_BYTES_BEFORE_VERDICT].decode(errors="ignore")
        return f"{short};retry={self.retry}"


def read_reason(text: str) -> tuple[str, Retry | None]:
    """Return the reason in the text of a close frame, and the verdict if the text has one."""
    parts = _WITH_VERDICT.fullmatch(text)
    return (text, None) if parts is None else (parts[1], Retry(parts[2]))


def _row(reason: str, code: int, retry: Retry, status: int, meaning: str) -> CloseReason:
    return CloseReason(reason, code, retry, status, meaning)


CREDENTIALS_MISSING: Final = _row(
    "credentials_missing", 1008, Retry.TOKEN, 401, "No credential was presented."
)
CREDENTIALS_INVALID: Final = _row(
    "credentials_invalid", 1008, Retry.TOKEN, 401, "A credential was presented and not accepted."
)
TOKEN_EXPIRED: Final = _row(
    "token_expired", 1008, Retry.TOKEN, 401, "The token expired while the socket was open."
)
TOKEN_REVOKED: Final = _row(
    "token_revoked",
    1008,
    Retry.TOKEN,
    401,
    "The token was taken back, or an operator ended the socket.",
)
TICKET_INVALID: Final = _row(
    "ticket_invalid", 1008, Retry.TOKEN, 401, "The one-time ticket is unknown, used or expired."
)
ORIGIN_DENIED: Final = _row(
    "origin_denied", 1008, Retry.NEVER, 403, "The session cookie came from a foreign web origin."
)
FORBIDDEN: Final = _row(
    "forbidden", 1008, Retry.NEVER, 403, "The caller may not do this with this item."
)
SCOPE_MISSING: Final = _row(
    "scope_missing", 1008, Retry.NEVER, 403, "The token does not carry the right for this action."
)
ITEM_INVALID: Final = _row(
    "item_invalid", 1008, Retry.NEVER, 403, "The item id is not 1 to 128 of A-Z a-z 0-9 . _ ~ : -"
)
QUERY_INVALID: Final = _row(
    "query_invalid", 1008, Retry.NEVER, 403, "A query parameter has a value that is not allowed."
)
TLS_REQUIRED: Final = _row(
    "tls_required", 1008, Retry.NEVER, 403, "This server is reached by https and wss only."
)
RATE_LIMITED: Final = _row(
    "rate_limited", 1008, Retry.LATER, 429, "The caller asked too often; try again later."
)
CONNECTION_LIMIT: Final = _row(
    "connection_limit", 1008, Retry.LATER, 429, "This caller has as many connections as it may."
)
SLOW_CONSUMER: Final = _row(
    "slow_consumer", 1008, Retry.NOW, 403, "The client did not read what was sent to it."
)
MESSAGES_LOST: Final = _row(
    "messages_lost", 1013, Retry.NOW, 503, "Messages were lost that this client cannot be told of."
)
MESSAGE_TIMEOUT: Final = _row(
    "message_timeout", 1008, Retry.NOW, 403, "A message was begun and not finished in 60 s."
)
PAYLOAD_INVALID: Final = _row(
    "payload_invalid", 1007, Retry.NEVER, 403, "A frame was not what its type promises."
)
MESSAGE_TOO_BIG: Final = _row(
    "message_too_big", 1009, Retry.NEVER, 403, "A message was larger than max_message_bytes."
)
INTERNAL: Final = _row("internal", 1011, Retry.LATER, 500, "The server failed; its log says how.")
PING_TIMEOUT: Final = _row(
    "ping_timeout", 1011, Retry.NOW, 403, "The client answered no ping in time."
)
DRAINING: Final = _row(
    "draining", 1012, Retry.NOW, 503, "The server is going away; another may be there."
)
STORE_REFUSED: Final = _row(
    "store_refused", 1011, Retry.NEVER, 500, "The store refuses this until its operator acts."
)
OVERLOADED: Final = _row("overloaded", 1013, Retry.LATER, 503, "The server cannot take this now.")

CLOSE_REASONS: Final[dict[str, CloseReason]] = {
    row.reason: row
    for row in (
        CREDENTIALS_MISSING,
        CREDENTIALS_INVALID,
        TOKEN_EXPIRED,
        TOKEN_REVOKED,
        TICKET_INVALID,
        ORIGIN_DENIED,
        FORBIDDEN,
        SCOPE_MISSING,
        ITEM_INVALID,
        QUERY_INVALID,
        TLS_REQUIRED,
        RATE_LIMITED,
        CONNECTION_LIMIT,
        SLOW_CONSUMER,
        MESSAGES_LOST,
        MESSAGE_TIMEOUT,
        PAYLOAD_INVALID,
        MESSAGE_TOO_BIG,
        INTERNAL,
        PING_TIMEOUT,
        DRAINING,
        STORE_REFUSED,
        OVERLOADED,
    )
}
