"""What the errors of SQLite mean, and what to do about them, by result code."""

import sqlite3
from typing import Final, NamedTuple

from itemwire.engines.base import EngineError
from itemwire.engines.faults import DAMAGED, FAILING, FULL, READ_ONLY, UNKNOWN, EngineFault


class SqliteFault(NamedTuple):
    """What an error means, and what it says of the file."""

    fault: EngineFault
    sentence: str


FAULTS: Final[dict[int, SqliteFault]] = {
    sqlite3.SQLITE_BUSY: SqliteFault(FAILING, "is in use: a file belongs to one server at a time"),
    sqlite3.SQLITE_NOTADB: SqliteFault(DAMAGED, "is not a SQLite database"),
    sqlite3.SQLITE_CORRUPT: SqliteFault(
        DAMAGED, "is damaged: restore it, or move it away to begin anew"
    ),
    sqlite3.SQLITE_READONLY: SqliteFault(
        READ_ONLY, "cannot be written: this process may not write to it or its folder"
    ),
    sqlite3.SQLITE_CANTOPEN: SqliteFault(
        FAILING, "cannot be opened: this process may not write to it or its folder"
    ),
    sqlite3.SQLITE_FULL: SqliteFault(FULL, "cannot be written: the disk is full"),
}
"""By primary result code; any other, such as an I/O error, is `FAILING`."""


def sentence_of(error: Exception) -> str:
    """Return what is wrong with a file, and what to do if that is known."""
    row = _row_of(error)
    return row.sentence if row else f"cannot be used: {getattr(error, 'strerror', None) or error}"


def refusal_of(error: Exception) -> EngineError:
    """Return what an error means for a request; one that is not SQLite's says nothing."""
    row = _row_of(error)
    other = FAILING if isinstance(error, sqlite3.Error) else UNKNOWN
    return EngineError(str(error), row.fault if row else other)


def _row_of(error: Exception) -> SqliteFault | None:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, PermissionError):
        code = sqlite3.SQLITE_CANTOPEN
    return None if code is None else FAULTS.get(code & 0xFF)
