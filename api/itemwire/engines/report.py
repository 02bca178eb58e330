"""What an engine's server says of itself, which an operator should know before clients do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Concern:
    """Something about the server that has cost others messages, and what to do about it."""

    says: str
    remedy: str
    is_fault: bool = False


@dataclass(frozen=True, slots=True)
class EngineReport:
    """A server's name and version, its clock in Unix seconds if it tells it, and concerns."""

    version: str
    clock: float | None = None
    concerns: tuple[Concern, ...] = ()
