"""Looks at everything that a server depends on, one check after the other.

To add a check, write a function that yields findings, and its row in `CHECKS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Generator
from typing import Final

from typing_extensions import override

from itemwire.ops.doctor.engine_checks import check_engine
from itemwire.ops.doctor.findings import Finding, doubtful, wrong
from itemwire.ops.doctor.key_checks import check_issuer_clocks, check_keys
from itemwire.ops.doctor.machine_checks import check_descriptors, check_files, check_settings
from itemwire.ops.doctor.proxy_checks import check_proxy
from itemwire.ops.doctor.visit import Visit
from itemwire.runbook import EVENTS

CHECK_SECONDS: Final = 90.0  # of one check; an engine that starts has 40 of them
OWN_FAULT: Final = "report it as a fault of the doctor: the other checks count"
LOGGERS: Final = ("itemwire", "nats", "asyncio")

Check = Callable[[Visit], AsyncIterator[Finding]]

CHECKS: Final[dict[str, Check]] = {
    "settings": check_settings,
    "files": check_files,
    "descriptors": check_descriptors,
    "keys": check_keys,
    "clock": check_issuer_clocks,
    "engine": check_engine,
    "proxy": check_proxy,
}
"""What is looked at, in this order."""


async def examine(visit: Visit) -> AsyncIterator[tuple[str, Finding]]:
    """Yield each finding with the name of its check."""
    for name, check in CHECKS.items():
        with _listening() as heard:
            async for finding in _carried_out(check, visit):
                yield name, finding
        for record in heard.records:
            if (told := _as_finding(record)) is not None:
                yield name, told


async def _carried_out(check: Check, visit: Visit) -> AsyncIterator[Finding]:
    """Yield what a check finds; one that fails itself ends no other."""
    try:
        async with asyncio.timeout(CHECK_SECONDS + visit.idle_seconds):
            async for finding in check(visit):
                yield finding
    except Exception as error:  # noqa: BLE001 - its text may be a part of a secret
        yield wrong(f"the check has failed with {type(error).__name__}", OWN_FAULT)


class HeardLines(logging.Handler):
    """Keeps the lines of the log that are meant for an operator."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.records.append(record)


@contextlib.contextmanager
def _listening() -> Generator[HeardLines]:
    """Take what the parts of a server log; with a handler of its own, nothing is printed."""
    heard = HeardLines()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addHandler(heard)
    try:
        yield heard
    finally:
        for logger in loggers:
            logger.removeHandler(heard)


def _as_finding(record: logging.LogRecord) -> Finding | None:
    """Return a line of the log with what docs/operations.md says to do about it."""
    told = record.getMessage()
    remedy = EVENTS.get(told.partition(" ")[0])
    if remedy is None:
        return None
    return (wrong if record.levelno >= logging.ERROR else doubtful)(told, remedy)
