"""What the server prints: one line an event, never a credential, and never a flood."""

import json
import logging
import logging.config
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, Literal

from typing_extensions import override

from itemwire_auth.audit import Quoted

Form = Literal["text", "json"]

TEXT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"

REDACTED: Final = "[redacted]"

# uvicorn prints the request line of every handshake, and at DEBUG its whole head. A formatter
# sees the finished text, traceback included, so this holds for whoever wrote the line.
# A pattern is tried only on a line that has one of its marks, in lower case: looking for those
# takes 1 µs, trying all patterns 18. Marks of patterns that ignore case have no `i`, `k` and `s`,
# which to `re` are also the letters U+0130, U+0131, U+017F and U+212A.
SECRETS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...]] = (
    # Any query string after a path: a token may hide behind `tok%65n=` as well as `token=`.
    # A query may hold quotes: it ends at white space, less the quote that closes the line's own.
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
    # At uvicorn's TRACE: the ASGI scope, and the frames, of which one may carry a token.
    (
        ("query_string",),
        re.compile(r"(query_string['\"]?\s*[:=]\s*b?)(['\"]).*?\2"),
        rf"\1{REDACTED}",
    ),
    (("< ", "> "), re.compile(r"([<>] (?:TEXT|BINARY|CONT)) [^\n]+"), rf"\1 {REDACTED}"),
    # Whatever looks like a JWT, wherever it stands: its head always starts with `{"`.
    # It is taken from the start of a word and never tried again inside one: that was quadratic.
    (("ey",), re.compile(r"(?<![\w-])ey[\w-]{6,}+\.[\w.-]*"), REDACTED),
    (
        ("itemwire.token.",),
        re.compile(r"\bitemwire\.token\.[^\s,\"']+"),
        f"itemwire.token.{REDACTED}",
    ),
)

LOGGERS: Final = ("", "itemwire", "uvicorn", "uvicorn.error", "uvicorn.access")

# The template of an event: a word, then names and places. What is written otherwise is text.
EVENT: Final = re.compile(r"\w+(?: \w+=%(?:\.\*)?[srd])*")
FIELD: Final = re.compile(r"(\w+)=%(\.\*)?[srd]")

HELD_BACK: Final = "held_back"

LINES_A_SECOND: Final = 50  # of one kind; refusals at 1000/s must not fill the disk


def redact(text: str) -> str:
    """Take every credential out of a line."""
    lowered = text.lower()
    for marks, pattern, replacement in SECRETS:
        if any(mark in lowered for mark in marks):
            text = pattern.sub(replacement, text)
    return text


class RedactingFormatter(logging.Formatter):
    """Formats as another formatter does, takes every credential out, says what was held back."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    @override
    def format(self, record: logging.LogRecord) -> str:
        held_back = getattr(record, HELD_BACK, 0)
        suffix = f" ({held_back} more like this were not logged)" if held_back else ""
        return redact(self._inner.format(record)) + suffix


class JsonFormatter(RedactingFormatter):
    """Writes a line as one JSON object: an event of ours with its fields, else the text.

    What a client has chosen stands in a JSON string, so it can begin no line and no field. Each
    string is redacted before it is written, for the patterns end at quotes and line ends.
    """

    def __init__(self) -> None:
        super().__init__(logging.Formatter())

    @override
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "ts": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        line |= _event_of(record) or {"event": "message", "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if held_back := getattr(record, HELD_BACK, 0):
            line[HELD_BACK] = held_back
        return json.dumps({name: _redacted(value) for name, value in line.items()})


def _event_of(record: logging.LogRecord) -> dict[str, object] | None:
    """Take an event apart: `refused reason=%s …` and its values; None if it is none of ours.

    It is the line's template that is read and never the line: a value may look like a field.
    """
    template, values = str(record.msg), record.args if isinstance(record.args, tuple) else ()
    if not record.name.startswith("itemwire.") or EVENT.fullmatch(template) is None:
        return None
    left = iter(values)
    try:
        return {"event": template.partition(" ")[0]} | {
            name: _value(left, is_cut=bool(cut)) for name, cut in FIELD.findall(template)
        }
    except StopIteration:  # fewer values than places: `logging` says so of the text
        return None


def _value(left: Iterator[object], *, is_cut: bool) -> object:
    """Take the value of one place; `%.*r` has its length ahead of it."""
    length = next(left) if is_cut else None
    value = next(left)
    if isinstance(value, Quoted):
        return value.value
    if value is None or isinstance(value, int):
        return value
    return str(value)[:length] if isinstance(length, int) else str(value)


def _redacted(value: object) -> object:
    """Take every credential out of a string."""
    return redact(value) if isinstance(value, str) else value


class Sampler(logging.Filter):
    """Lets so many lines of one kind through a second, and says how many it held back.

    The kind of a line is its unformatted message: `refused reason=%s …` is one kind.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._second = 0
        self._counts: dict[str, int] = {}
        self._held_back: dict[str, int] = {}

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._counts, counts = {}, self._counts
            self._held_back.update(
                {
                    kind: count - LINES_A_SECOND
                    for kind, count in counts.items()
                    if count > LINES_A_SECOND
                }
            )
        kind = str(record.msg)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] > LINES_A_SECOND:
            return False
        held_back = self._held_back.pop(kind, 0)
        setattr(record, HELD_BACK, held_back)  # the formatter says so; other handlers see no more
        return True


def redact_logs() -> None:
    """Make the handlers that exist now print no credential; doing it twice is doing it once."""
    handlers = [handler for name in LOGGERS for handler in logging.getLogger(name).handlers]
    # Where nobody has configured logging, warnings go to a handler of its own.
    for handler in (*handlers, *filter(None, [logging.lastResort])):
        if not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter or logging.Formatter()))


def configure_logs(level: str, form: Form = "text") -> None:
    """Log to standard error at a level, and no flood; standard output is for results."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Sampler())
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    # No line of ours says where in the code it was written, or by which thread: what a record notes
    # of that is two fifths of its cost, of lines that are held back too ("Optimization" in Python's
    # logging HOWTO).
    logging._srcfile = None  # noqa: SLF001 - documented there
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    if root.level > logging.DEBUG:
        # It says twice of each handshake what `itemwire.auth` says once, with more to it.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each question asked
    redact_logs()
