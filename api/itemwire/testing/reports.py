"""Reports: how a server withstood an attack, and whether that is a fault."""

from __future__ import annotations

import unittest
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

from itemwire.testing.model import Attack
from itemwire.testing.raw_handshakes import Answer, RawHandshake
from itemwire_auth.testing import Severity


class Verdict(StrEnum):
    """How an attack ended."""

    REFUSED = "refused"  # as it must be
    LET_IN = "let_in"
    OTHERWISE = "refused_otherwise"  # not in a way that `Route.refusals` allows
    CRASHED = "crashed"  # a status of 500 or more, or close code 1011
    UNANSWERED = "unanswered"  # the connection was dropped, or nothing came
    LEAKED = "leaked"  # the answer repeats a part of the credential
    TWIN_REFUSED = "twin_refused"  # the good twin was refused: the refusal proves nothing
    GOOD_LET_IN = "good_let_in"  # the good client was let in, as it must be
    GOOD_REFUSED = "good_refused"  # the good client was refused, so nothing else was tried
    BLOCKED = "blocked"  # not tried, for the good client was refused


NO_FAULTS: frozenset[Verdict] = frozenset({Verdict.REFUSED, Verdict.GOOD_LET_IN, Verdict.BLOCKED})

# Nobody was let in who must not be; the server, or how it answers, is at fault.
OF_ANSWERS = frozenset({Verdict.OTHERWISE, Verdict.CRASHED, Verdict.UNANSWERED, Verdict.LEAKED})


class Blocked(unittest.SkipTest):
    """The attack was not tried, because the good client is refused; pytest reports a skip."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one attack; `twin` is None if the attack alone shows the fault.

    `wanted` is the severity up to which the route should withstand attacks.
    """

    attack: Attack
    verdict: Verdict
    handshake: RawHandshake
    seen: Answer
    twin: Answer | None = None
    wanted: Severity = Severity.RULE
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The attack's name."""
        return self.attack.name

    @property
    def severity(self) -> Severity:
        """How bad it is: an attack that was refused in a wrong way is at most a weakness."""
        own = self.attack.severity
        return own.at_most(Severity.WEAKNESS) if self.verdict in OF_ANSWERS else own

    @property
    def is_fault(self) -> bool:
        """Whether the server failed to withstand the attack."""
        return self.verdict not in NO_FAULTS and self.wanted.includes(self.severity)

    def check(self) -> None:
        """Raise AssertionError with a full description if the server is at fault.

        Raises `Blocked` if the attack was not tried.
        """
        if self.verdict is Verdict.BLOCKED:
            raise Blocked("not tried: the good client is refused, see the test that has failed")
        if self.is_fault:
            raise AssertionError(str(self))

    @override
    def __str__(self) -> str:
        """Describe the attack, the answer and the twin's answer, a line each."""
        is_attack = self.verdict is not Verdict.GOOD_REFUSED
        lines = [
            f"{self.name}: {self.verdict}" + (f" ({self.severity})" if is_attack else ""),
            f"  fault   {self.attack.fault}; {self.attack.why}"
            if is_attack
            else f"  {self.attack.why}",
            f"  sent    {self.handshake.method} {self.handshake.target[:120]}",
            f"  seen    {self.seen}",
        ]
        lines += [f"  twin    {self.twin}"] if self.twin else []
        return "\n".join([*lines, *(f"  note    {note}" for note in self.notes)])


def faults(reports: Iterable[Report]) -> dict[str, str]:
    """Return the attacks that the server did not withstand, each with its verdict."""
    return {report.name: report.verdict.value for report in reports if report.is_fault}
