"""Redacts log lines about the channels, and no others, where a host configures the log.

Servers log the path and the query of a request, which may hold a token. They do that when the
application answers, so by then it is known which paths lead to channels.
"""

import logging
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from typing_extensions import override

from itemwire.application import is_channel_path
from itemwire.observability.logs import redact

SERVERS: Final = ("uvicorn.error", "uvicorn.access", "hypercorn.access")
OWN: Final = tuple(
    f"itemwire.{name}" for name in ("auth", "channels", "engines", "fastpath", "refusals")
)

PATH: Final = re.compile(r"(?<!\S)/[^\s?]*")


class ChannelLines(logging.Filter):
    """Redacts the lines that are about channels; all others pass unchanged."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.name in OWN or _names_channels(record.getMessage()):
            _redact_record(record)
        return True


_channel_lines: Final = ChannelLines()


def redact_channel_lines() -> None:
    """Redact what is logged about the channels; calling this twice has no effect."""
    for name in (*SERVERS, *OWN):
        logging.getLogger(name).addFilter(_channel_lines)


def _names_channels(line: str) -> bool:
    return any(is_channel_path(unquote(path)) for path in PATH.findall(line))


def _redact_record(record: logging.LogRecord) -> None:
    """Redact the parts of a line, and keep their places: formatters look for them."""
    args = record.args
    if isinstance(args, tuple):
        record.args = tuple(redact(one) if isinstance(one, str) else one for one in args)
    elif isinstance(args, Mapping):  # hypercorn's, which makes its values while it is read
        record.msg, record.args = redact(record.getMessage()), ()
    if record.exc_info and not record.exc_text:
        record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
