"""How a server refused or ended a connection, and what a browser shows of that."""

import contextlib
from dataclasses import dataclass, field
from typing import Final

import msgspec
from typing_extensions import override
from websockets.exceptions import ConnectionClosed

from itemwire.close_reasons import read_reason

NO_ANSWER: Final = 0  # a status: the connection ended, or the time passed, without a response
SWITCHED: Final = 101
ABNORMAL: Final = 1006  # all that a browser tells a page about a failed handshake


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal: the HTTP status of the handshake, then the close code and reason, if any.

    `unanswered` says that subprotocols were offered and the server chose none. Most clients accept
    that, but Chromium fails such a handshake before it reads the close frame.
    """

    status: int
    code: int | None = None
    reason: str = ""
    body: bytes = b""
    unanswered: bool = field(default=False, compare=False)

    @property
    def browser_sees(self) -> tuple[int, str]:
        """The code and reason of the `CloseEvent` that a script in a browser gets."""
        if self.status != SWITCHED or self.code is None or self.unanswered:
            return ABNORMAL, ""
        return self.code, self.reason

    @property
    def retry(self) -> str | None:
        """The verdict, where it was told: with `hints=1` in the reason, or in a body."""
        if self.body:
            with contextlib.suppress(ValueError):
                return msgspec.json.decode(self.body, type=_Body).retry
        return read_reason(self.reason)[1]

    @override
    def __str__(self) -> str:
        """Describe the refusal in one line."""
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


class _Body(msgspec.Struct):
    """What a denied handshake says in its body."""

    retry: str | None = None


class Ended(Exception):
    """The server refused the handshake or ended the connection; `refusal` says how."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def refusal_of(closed: ConnectionClosed, *, unanswered: bool = False) -> Refusal:
    """Return how an accepted connection ended."""
    if closed.rcvd is None:
        return Refusal(SWITCHED, unanswered=unanswered)
    return Refusal(SWITCHED, closed.rcvd.code, closed.rcvd.reason, unanswered=unanswered)
