"""What an error of an engine means to its caller, and to readiness.

Each engine has a table, in its own `faults.py`, from its errors to these. Whether trying again
helps is the retry verdict of the close reason: `later` is "not now", `never` is "never".
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from itemwire.close_reasons import (
    MESSAGE_TOO_BIG,
    OVERLOADED,
    PAYLOAD_INVALID,
    STORE_REFUSED,
    CloseReason,
)


class Readiness(StrEnum):
    """What `/health/ready` says of a node, as far as its engine decides it."""

    READY = "ready"
    DEGRADED = "degraded"  # reading and hearing go on; what has to be stored is refused
    NOT_READY = "not_ready"


@dataclass(frozen=True, slots=True)
class EngineFault:
    """A kind of error: its name, what is refused for it, and what is left of the engine.

    `readiness` is that of the engine as long as such errors last. An error that says nothing about
    the next request leaves it as it is.
    """

    name: str
    refusal: CloseReason
    readiness: Readiness
    detail: str


UNKNOWN: Final = EngineFault(
    "unknown",
    OVERLOADED,
    Readiness.READY,
    "The engine could not take this now; ask again.",
)
"""Nothing can be concluded from the error; it may have been done all the same."""

FULL: Final = EngineFault(
    "full",
    OVERLOADED,
    Readiness.DEGRADED,
    "The engine is full: nothing was stored. Ask again later.",
)
READ_ONLY: Final = EngineFault(
    "read_only",
    OVERLOADED,
    Readiness.DEGRADED,
    "The engine takes no writes at the moment: nothing was stored. Ask again later.",
)
FAILING: Final = EngineFault(
    "failing",
    OVERLOADED,
    Readiness.DEGRADED,
    "The engine's storage fails: nothing was stored. Ask again later.",
)
UNPREPARED: Final = EngineFault(
    "unprepared",
    OVERLOADED,
    Readiness.DEGRADED,
    "The engine has not what this server needs: nothing was stored. Ask again later.",
)
SILENT: Final = EngineFault(
    "silent",
    OVERLOADED,
    Readiness.DEGRADED,
    "The engine does not say whether this was stored. Ask again later, with the same key.",
)
FORBIDDEN: Final = EngineFault(
    "forbidden",
    STORE_REFUSED,
    Readiness.DEGRADED,
    "The engine does not let this server store; asking again does not help.",
)
DAMAGED: Final = EngineFault(
    "damaged",
    STORE_REFUSED,
    Readiness.DEGRADED,
    "The engine's storage is damaged; asking again does not help.",
)
PART_AWAY: Final = EngineFault(
    "part_away",
    OVERLOADED,
    Readiness.DEGRADED,
    "The engine's server that has this item is away; ask again later.",
)
"""Of several servers one is away: what the others have is served as ever."""

AWAY: Final = EngineFault(
    "away",
    OVERLOADED,
    Readiness.NOT_READY,
    "The engine is away; ask again later.",
)
UNREADABLE: Final = EngineFault(
    "unreadable",
    OVERLOADED,
    Readiness.NOT_READY,
    "The engine does not let this server read; ask again later.",
)
TOO_BIG: Final = EngineFault(
    "too_big",
    MESSAGE_TOO_BIG,
    Readiness.READY,
    "The engine takes no message of this size.",
)
INVALID: Final = EngineFault(
    "invalid",
    PAYLOAD_INVALID,
    Readiness.READY,
    "The engine cannot store this message, whenever it is sent.",
)

DEGRADING: Final = (FULL, READ_ONLY, FAILING, UNPREPARED, SILENT, FORBIDDEN, DAMAGED, PART_AWAY)
"""The faults that an engine can have while it is read and heard."""
