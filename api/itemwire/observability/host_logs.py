"""Redacts log lines about the channels, and no others, where a host configures the log.

Servers log the path and the query of a request, which may hold a token. They do that when the
application answers, so by then it is known which paths lead to channels.
"""

import logging
import re
from typing import Final
from urllib.parse import unquote

from typing_extensions import override

from itemwire.application import is_channel_path
from itemwire_auth.redaction import SERVERS, redact_record

OWN: Final = tuple(
    f"itemwire.{name}" for name in ("auth", "channels", "engines", "fastpath", "refusals")
)

PATH: Final = re.compile(r"(?<!\S)/[^\s?]*")


class ChannelLines(logging.Filter):
    """Redacts the lines that are about channels; all others pass unchanged."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.name in OWN or _names_channels(record.getMessage()):
            redact_record(record)
        return True


_channel_lines: Final = ChannelLines()


def redact_channel_lines() -> None:
    """Redact what is logged about the channels; calling this twice has no effect."""
    for name in (*SERVERS, *OWN):
        logging.getLogger(name).addFilter(_channel_lines)


def _names_channels(line: str) -> bool:
    return any(is_channel_path(unquote(path)) for path in PATH.findall(line))
