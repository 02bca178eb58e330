"""What the errors of JetStream mean, by the `err_code` of its answers."""

from __future__ import annotations

from typing import Final

from itemwire.engines.faults import (
    AWAY,
    FORBIDDEN,
    FULL,
    SILENT,
    TOO_BIG,
    UNKNOWN,
    EngineFault,
)

FAULTS: Final[dict[int, EngineFault]] = {
    10002: FULL,  # the account has no more room
    10023: FULL,  # the server has no more room
    10028: FULL,  # memory
    10047: FULL,  # storage
    10077: FULL,  # the stream cannot store it: its `max_bytes` are reached, or a write failed
    10054: TOO_BIG,  # the stream's `max_msg_size`
    10097: TOO_BIG,  # the headers alone
    10008: AWAY,  # no leader, or too few servers
    10009: AWAY,
    10039: AWAY,  # not enabled for this account
    10076: AWAY,  # not enabled
}

NOT_ALLOWED: Final = "permissions violation"
"""What the server reports, without naming the request, where a user may not publish."""


def fault_of(err_code: int) -> EngineFault:
    """Return what an error of JetStream means; one without a row says nothing."""
    return FAULTS.get(err_code, UNKNOWN)


def fault_of_silence(problem: str, *, is_passed_over: bool) -> EngineFault:
    """Return why there was no answer, from what the server reported meanwhile.

    A request is passed over if a later one was answered: the server is there, and a stream whose
    disk has failed answers nobody who stores in it.
    """
    if NOT_ALLOWED in problem.lower():
        return FORBIDDEN
    return SILENT if is_passed_over else UNKNOWN
