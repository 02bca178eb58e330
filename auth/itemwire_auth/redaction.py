"""Replaces credentials in lines of a log, whoever writes them."""

import logging
import re
from collections.abc import Mapping
from typing import Final

from typing_extensions import override

SERVERS: Final = ("uvicorn.error", "uvicorn.access", "hypercorn.access")
"""The loggers by which servers tell of requests."""

REDACTED: Final = "[redacted]"

# uvicorn logs the request line of every handshake, and at DEBUG its whole head. These patterns are
# applied to the finished text with its traceback, where a formatter does it.
# Each row has marks, in lower case, a pattern and its replacement. The pattern is tried only on
# lines that contain a mark: looking for the marks takes 1 µs, trying all patterns 18 µs. The marks
# of patterns that ignore case contain no `i`, `k` or `s`, because `re` also matches those letters
# with U+0130, U+0131, U+017F and U+212A.
SECRETS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...]] = (
    # The whole query string after a path: `tok%65n=` may carry a token as well as `token=`. A query
    # may contain quotes, so it ends at white space, without the quote that closes the log line's.
    (("?",), re.compile(r"(?<=[\w/.~%:*-])\?\S+?(?=[\"'>,]*(?:\s|$))"), f"?{REDACTED}"),
    (
        ("author", "coo", "protocol"),
        re.compile(
            r"\b((?:proxy-)?authorization|(?:set-)?cookie|sec-websocket-protocol)"
            r"(['\"]?\s*[:,]\s*)[^\n]+",
            re.IGNORECASE,
        ),
        rf"\1\2{REDACTED}",
    ),
    # uvicorn's TRACE level logs the ASGI scope, and frames, which may carry a token.
    (
        ("query_string",),
        re.compile(r"(query_string['\"]?\s*[:=]\s*b?)(['\"]).*?\2"),
        rf"\1{REDACTED}",
    ),
    (("< ", "> "), re.compile(r"([<>] (?:TEXT|BINARY|CONT)) [^\n]+"), rf"\1 {REDACTED}"),
    # Anything that looks like a JWT: its header starts with `{"`, which is `ey` in base64. The
    # pattern starts at the beginning of a word and does not backtrack: that was quadratic.
    (("ey",), re.compile(r"(?<![\w-])ey[\w-]{6,}+\.[\w.-]*"), REDACTED),
    (
        ("itemwire.token.",),
        re.compile(r"\bitemwire\.token\.[^\s,\"']+"),
        f"itemwire.token.{REDACTED}",
    ),
)


def redact(text: str) -> str:
    """Return a line with every credential replaced."""
    lowered = text.lower()
    for marks, pattern, replacement in SECRETS:
        if any(mark in lowered for mark in marks):
            text = pattern.sub(replacement, text)
    return text


def redact_record(record: logging.LogRecord) -> None:
    """Redact the parts of a line, and keep their places: formatters look for them."""
    args = record.args
    if isinstance(args, tuple):
        record.args = tuple(redact(one) if isinstance(one, str) else one for one in args)
    elif isinstance(args, Mapping):  # hypercorn's, which makes its values while it is read
        record.msg, record.args = redact(record.getMessage()), ()
    if record.exc_info and not record.exc_text:
        record.exc_text = redact(logging.Formatter().formatException(record.exc_info))


class RedactedLines(logging.Filter):
    """Redacts every line, and drops none."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        redact_record(record)
        return True


_redacted_lines: Final = RedactedLines()


def redact_server_lines() -> None:
    """Redact what servers, and this package, log about requests; a second call has no effect."""
    for name in (*SERVERS, "itemwire.auth"):
        logging.getLogger(name).addFilter(_redacted_lines)
