"""What the errors of JetStream mean, by the `err_code` of its answers."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from itemwire.engines.faults import (
    AWAY,
    FULL,
    READ_ONLY,
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
    10109: READ_ONLY,  # the stream is sealed
    10118: AWAY,  # the stream is offline
    10008: AWAY,  # no leader, or too few servers
    10009: AWAY,
    10039: AWAY,  # not enabled for this account
    10076: AWAY,  # not enabled
}

STARTING: Final = frozenset({10005, 10008, 10009})
"""Of a cluster whose servers have yet to find each other, or to choose who leads."""

VIOLATION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
"""What the server reports, by the subject alone, where a user may not publish or subscribe."""


def fault_of(err_code: int) -> EngineFault:
    """Return what an error of JetStream means; one without a row says nothing."""
    return FAULTS.get(err_code, UNKNOWN)


class NatsViolation(NamedTuple):
    """What a user may not do: publish to a subject, or subscribe to it; in small letters."""

    is_publish: bool
    subject: str

    @classmethod
    def read(cls, problem: str) -> NatsViolation | None:
        """Read what the server reports; None if it reports something else."""
        found = VIOLATION.search(problem.lower())
        return cls(found[1] == "publish", found[2]) if found else None


def fault_of_silence(*, is_passed_over: bool) -> EngineFault:
    """Return why there was no answer.

    A request is passed over if a later one was answered: the server is there, and a stream whose
    disk has failed answers nobody who stores in it.
    """
    return SILENT if is_passed_over else UNKNOWN
