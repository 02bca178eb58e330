"""Why a connection ended and what to do next, whatever the server says of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import msgspec

from itemwire.client.errors import LATER, NEVER, NOW, TOKEN, Refused
from itemwire.close_reasons import CLOSE_REASONS

NO_STATUS: Final = 1006
"""What RFC 6455 section 7.1.5 calls a connection that ended without a close frame."""

_VERDICTS: Final = frozenset({NEVER, TOKEN, LATER, NOW})


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended: `retry_after` is in seconds, and the least to wait."""

    reason: str
    retry: str
    status: int
    retry_after: float = 0.0
    detail: str = ""

    @classmethod
    def of_close(cls, code: int, text: str) -> Self:
        """Read a close frame: its reason, with the verdict beside it if the server says so."""
        reason, verdict = _split(text)
        return cls(reason, verdict or _known(reason), code, detail=_meaning(reason))

    @classmethod
    def of_denial(cls, status: int, headers: Mapping[str, str], body: bytes) -> Self:
        """Read a handshake that was denied over HTTP; one of another server is temporary."""
        try:
            told = msgspec.json.decode(body, type=_Denial)
        except ValueError:
            told = _Denial()
        retry = verdict_of(told.retry, told.reason)
        floor = _seconds({name.lower(): text for name, text in headers.items()}.get("retry-after"))
        reason = told.reason or f"http_{status}"
        return cls(reason, retry, status, floor, _meaning(reason))

    @classmethod
    def lost(cls, detail: str = "") -> Self:
        """Return that of a connection that broke, or that never came to be."""
        return cls("", LATER, NO_STATUS, detail=detail)

    def refusal(self) -> Refused:
        """Return it as an exception."""
        return Refused(
            self.reason,
            retry=self.retry,
            status=self.status,
            detail=self.detail,
            retry_after=self.retry_after,
        )


class _Denial(msgspec.Struct):
    reason: str = ""
    retry: str = ""


_SUFFIX: Final = re.compile(r"(.*);retry=(never|token|later|now)", re.DOTALL).fullmatch


def _split(text: str) -> tuple[str, str | None]:
    """Return the reason and the verdict of `reason;retry=later`; old servers tell none."""
    parts = _SUFFIX(text)
    return (text, None) if parts is None else (parts[1], parts[2])


def verdict_of(retry: str | None, reason: str) -> str:
    """Return a verdict as it was told; one that is unknown is that of its reason."""
    return retry if retry is not None and retry in _VERDICTS else _known(reason)


def _known(reason: str) -> str:
    """Return the verdict of a reason; a client must go on after one that it does not know."""
    row = CLOSE_REASONS.get(reason)
    return row.retry.value if row else LATER


def _meaning(reason: str) -> str:
    row = CLOSE_REASONS.get(reason)
    return row.meaning if row else ""


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isascii() and text.isdecimal() else 0.0
