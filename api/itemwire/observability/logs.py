"""The log: one line per event, no credentials, and a limit on lines of one kind."""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, Literal

from typing_extensions import override

from itemwire_auth.audit import Quoted
from itemwire_auth.redaction import redact

Form = Literal["text", "json"]

TEXT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"

LOGGERS: Final = ("", "itemwire", "uvicorn", "uvicorn.error", "uvicorn.access")

# The template of an event: its name, then `name=%s` fields. Any other template is plain text.
EVENT: Final = re.compile(r"\w+(?: \w+=%(?:\.\*)?[srd])*")
FIELD: Final = re.compile(r"(\w+)=%(\.\*)?[srd]")

HELD_BACK: Final = "held_back"

LINES_A_SECOND: Final = 50  # of one template; 1000 refusals a second must not fill the disk


class RedactingFormatter(logging.Formatter):
    """Formats as another formatter does, then redacts, and adds how many lines were dropped."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    @override
    def format(self, record: logging.LogRecord) -> str:
        held_back = getattr(record, HELD_BACK, 0)
        suffix = f" ({held_back} more like this were not logged)" if held_back else ""
        return redact(self._inner.format(record)) + suffix


class JsonFormatter(RedactingFormatter):
    """Writes a line as one JSON object: an event of ours with its fields, or plain text.

    A client's text is always inside a JSON string, so it cannot fake a line or a field. Each string
    is redacted before it is encoded, because the patterns end at quotes and line breaks.
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
    """Return name and fields of an event such as `refused reason=%s …`, None for plain text.

    The template is parsed, never the finished line: a client's value may look like a field.
    """
    template, values = str(record.msg), record.args if isinstance(record.args, tuple) else ()
    if not record.name.startswith("itemwire.") or EVENT.fullmatch(template) is None:
        return None
    left = iter(values)
    try:
        return {"event": template.partition(" ")[0]} | {
            name: _value(left, is_cut=bool(cut)) for name, cut in FIELD.findall(template)
        }
    except StopIteration:  # fewer values than fields: `logging` reports that for the text
        return None


def _value(left: Iterator[object], *, is_cut: bool) -> object:
    """Return the value of one field; a `%.*r` takes its length from the value before it."""
    length = next(left) if is_cut else None
    value = next(left)
    if isinstance(value, Quoted):
        return value.value
    if value is None or isinstance(value, int):
        return value
    return str(value)[:length] if isinstance(length, int) else str(value)


def _redacted(value: object) -> object:
    """Redact a value if it is a string."""
    return redact(value) if isinstance(value, str) else value


class LogSampler(logging.Filter):
    """Limits the lines of one template to `LINES_A_SECOND`, and counts those it drops.

    The next line of that template, in a later second, carries the count.
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
        setattr(record, HELD_BACK, held_back)  # the formatter prints it, with this line only
        return True


def redact_logs() -> None:
    """Redact the output of all handlers that exist now; calling this twice has no effect."""
    handlers = [handler for name in LOGGERS for handler in logging.getLogger(name).handlers]
    # Without any configuration, logging prints warnings with `lastResort`.
    for handler in (*handlers, *filter(None, [logging.lastResort])):
        if not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter or logging.Formatter()))


def configure_logs(level: str, form: Form = "text") -> None:
    """Log to standard error from a level on, redacted and with a limit per template.

    Standard output is kept for results of the command line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(LogSampler())
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    # No log line shows its place in the code or its thread, and finding them takes two fifths of
    # the time of a log call, even of one whose line is dropped. Python's logging HOWTO documents
    # these switches under "Optimization"; `_srcfile` has no public name.
    setattr(logging, "_srcfile", None)  # noqa: B010 - not a private access for type checkers
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    if root.level > logging.DEBUG:
        # uvicorn logs two lines per handshake, where `itemwire.auth` logs one that says more.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request at INFO
    redact_logs()
