"""What a client raises.

ClientError
├── NotConnected: there is no connection; nothing was sent, or no answer came before it broke
├── ClientClosed: the client was closed
├── Refused: the server said no, or the token source did (Unauthorized)
│   └── Unauthorized: for token sources to raise; nobody is signed in
├── RequestTimeout: no answer in time
└── PublishUnconfirmed: sent and not answered; it may be stored
"""

from typing import Final

NEVER: Final = "never"
TOKEN: Final = "token"  # noqa: S105 - a verdict, not a secret
LATER: Final = "later"
NOW: Final = "now"

MAX_TOKEN_VERDICTS: Final = 2
"""How often in a row a client tries again after `token`; then it stops."""


class ClientError(Exception):
    """Everything that a client raises by itself.

    `was_sent` says of a request without an answer whether it may have been done.
    """

    was_sent = False


class NotConnected(ClientError):
    """There is no connection to the server, or it broke before the answer came."""


class ClientClosed(ClientError):
    """The client was closed, or left the item, before this was done."""


class RequestTimeout(ClientError, TimeoutError):
    """No answer came in time."""


class Refused(ClientError):
    """The server refused the connection, an item or a request.

    `reason` is its stable word. `retry` says whether to try again: `never`, `token` (get a new
    token first), `later` or `now`, with `retry_after` seconds at least. `status` is the close code,
    or the HTTP status of a handshake that was denied, or None for a request.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry: str = NEVER,
        status: int | None = None,
        detail: str = "",
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.retry = retry
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class Unauthorized(Refused):
    """Raise it in a token source when nobody is signed in: the client stops, and asks no more."""

    def __init__(self, detail: str = "the token source has no token") -> None:
        super().__init__("unauthorized", detail=detail)


class PublishUnconfirmed(ClientError):
    """A message was sent and not answered: publish it again with the same `key`, stored once."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no answer: publish again with key={key!r}, and it is stored once")
        self.key = key
