"""What the errors of a PostgreSQL server mean, by SQLSTATE (appendix A of its manual)."""

from __future__ import annotations

from typing import Final

from itemwire.engines.faults import (
    AWAY,
    DAMAGED,
    FAILING,
    FORBIDDEN,
    FULL,
    INVALID,
    READ_ONLY,
    UNKNOWN,
    UNPREPARED,
    EngineFault,
)

FAULTS: Final[dict[str, EngineFault]] = {
    "53100": FULL,  # disk_full
    "53200": FAILING,  # out_of_memory
    "53300": AWAY,  # too_many_connections
    "53400": FULL,  # configuration_limit_exceeded
    "54000": FULL,  # program_limit_exceeded: the queue of NOTIFY
    "25006": READ_ONLY,  # read_only_sql_transaction
    "42501": FORBIDDEN,  # insufficient_privilege
    "3F000": UNPREPARED,  # invalid_schema_name: it was dropped, or is being restored
    "42P01": UNPREPARED,  # undefined_table
    "42703": UNPREPARED,  # undefined_column: another version's
    "42804": UNPREPARED,  # datatype_mismatch
    "42883": UNPREPARED,  # undefined_function
    "58030": FAILING,  # io_error
    "XX001": DAMAGED,  # data_corrupted
    "XX002": DAMAGED,  # index_corrupted
}

DATA: Final = "22"
"""The class of errors that are about the values of one request."""


def fault_of(error: BaseException) -> EngineFault:
    """Return what an error of the server means; one without a row says nothing."""
    state = getattr(error, "sqlstate", None) or ""
    return FAULTS.get(state) or (INVALID if state.startswith(DATA) else UNKNOWN)
