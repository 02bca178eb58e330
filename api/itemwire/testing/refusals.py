"""How a server said no, and what is left of that in a browser."""

from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override
from websockets.exceptions import ConnectionClosed

NO_ANSWER: Final = 0  # as a status: the connection ended, or the time was up, without one
SWITCHED: Final = 101
ABNORMAL: Final = 1006  # what a browser says whenever it may not say more


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a server said no: the HTTP status of the handshake, then the close frame if any.

    `unanswered` says that subprotocols were offered and none was chosen: most clients do not mind,
    but Chromium gives up such a handshake before it reads on.
    """

    status: int
    code: int | None = None
    reason: str = ""
    body: bytes = b""
    unanswered: bool = field(default=False, compare=False)

    @property
    def browser_sees(self) -> tuple[int, str]:
        """Give the code and reason of the `CloseEvent` that a page's script gets."""
        if self.status != SWITCHED or self.code is None or self.unanswered:
            return ABNORMAL, ""
        return self.code, self.reason

    @override
    def __str__(self) -> str:
        """Say it in a line."""
        if self.status == NO_ANSWER:
            told = "no answer"
        elif self.status != SWITCHED:
            told = f"HTTP {self.status} {self.body[:200]!r}"
        elif self.code is None:
            told = "accepted, then dropped without a close frame"
        else:
            told = f"accepted, then closed with {self.code} {self.reason!r}"
        code, reason = self.browser_sees
        return f"{told}; a browser sees {code} {reason!r}"


class Ended(Exception):
    """The server refused the handshake or ended the connection; `refusal` tells how."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def refusal_of(closed: ConnectionClosed, *, unanswered: bool = False) -> Refusal:
    """Tell how an accepted connection ended."""
    if closed.rcvd is None:
        return Refusal(SWITCHED, unanswered=unanswered)
    return Refusal(SWITCHED, closed.rcvd.code, closed.rcvd.reason, unanswered=unanswered)
