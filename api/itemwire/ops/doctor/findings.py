"""What a check has found: good, doubtful or wrong, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from itemwire_auth.redaction import redact


class Level(StrEnum):
    """How bad a finding is; only a fault makes `itemwire doctor` end with 1."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: nothing in it is a credential."""

    level: Level
    says: str
    remedy: str = ""


def good(says: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(Level.OK, redact(says))


def doubtful(says: str, remedy: str) -> Finding:
    """Return a finding that may be intended."""
    return Finding(Level.WARNING, redact(says), remedy)


def wrong(says: str, remedy: str) -> Finding:
    """Return a finding with which clients are not served as they should be."""
    return Finding(Level.FAULT, redact(says), remedy)
