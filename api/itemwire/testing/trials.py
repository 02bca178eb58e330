"""Runs attacks against a server, each with its twin after it, and tells how each ended."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from typing_extensions import override

from itemwire.testing.attacks import ATTACKS
from itemwire.testing.knocks import Answer, Knock
from itemwire.testing.model import Attack, Door, Fault
from itemwire.testing.refusals import NO_ANSWER, SWITCHED, Refusal
from itemwire.testing.routes import Route

# The parts of a token that identify it, its signature above all; no name or path is so long.
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{40,}")

# RFC 6455 section 7.4.1 and the registry: codes that say the client is at fault.
BLAMING_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 3000, 3003, *range(4000, 5000)})
BLAMING_STATUSES: Final = range(400, 500)
INTERNAL_CODE: Final = 1011
FIRST_SERVER_ERROR: Final = 500


class HasUrl(Protocol):
    """A running server: a `LiveServer`, or anything else that knows its URL."""

    url: str


class Verdict(StrEnum):
    """How an attack ended; all but the first are faults."""

    REFUSED = "refused"
    LET_IN = "let_in"
    OTHERWISE = "refused_otherwise"  # and not as the route promised
    CRASHED = "crashed"  # a status from 500 on, or 1011
    UNANSWERED = "unanswered"  # dropped, or silence
    LEAKED = "leaked"  # refused with the credential in the answer
    TWIN_REFUSED = "twin_refused"  # so the refusal proves nothing


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one attack; `twin` is None where the attack alone shows the fault."""

    attack: Attack
    verdict: Verdict
    knock: Knock
    seen: Answer
    twin: Answer | None = None

    @property
    def name(self) -> str:
        """Give the attack's name."""
        return self.attack.name

    @property
    def is_fault(self) -> bool:
        """Tell whether the server did not do as it should."""
        return self.verdict is not Verdict.REFUSED

    def check(self) -> None:
        """Raise AssertionError with the whole story if the server is at fault."""
        if self.is_fault:
            raise AssertionError(str(self))

    @override
    def __str__(self) -> str:
        """Tell the whole story."""
        lines = [
            f"{self.name}: {self.verdict}",
            f"  fault   {self.attack.fault}; {self.attack.why}",
            f"  sent    {self.knock.method} {self.knock.target[:120]}",
            f"  seen    {self.seen}",
        ]
        return "\n".join([*lines, f"  twin    {self.twin}"] if self.twin else lines)


@dataclass(frozen=True, slots=True)
class Trial:
    """An attack on a route: what `pytest.mark.parametrize` takes."""

    attack: Attack
    route: Route

    @property
    def __name__(self) -> str:
        """Give the attack's name, which pytest takes for the test's id."""
        return self.attack.name

    def against(self, server: HasUrl) -> Report:
        """Attack, then let the twin in: it shows, too, that the server has survived."""
        door = Door(server.url, self.route)
        knock = self.attack.make(door)
        seen = door.send(knock)
        verdict = self._verdict(seen, knock)
        if verdict is not Verdict.REFUSED:
            return Report(self.attack, verdict, knock, seen)
        twin = door.send(self.attack.twin(door))
        verdict = Verdict.REFUSED if twin.is_in else Verdict.TWIN_REFUSED
        return Report(self.attack, verdict, knock, seen, twin)

    def _verdict(self, seen: Answer, knock: Knock) -> Verdict:
        if seen.refusal is None:
            return Verdict.LET_IN
        if (failure := _failure(seen.refusal)) is not None:
            return failure
        if not self._is_as_promised(seen.refusal):
            return Verdict.OTHERWISE
        return Verdict.LEAKED if _leaks(seen, knock) else Verdict.REFUSED

    def _is_as_promised(self, refusal: Refusal) -> bool:
        told = self.route.refusals.get(self.attack.fault)
        if told is None:
            return refusal.status in BLAMING_STATUSES or refusal.code in BLAMING_CODES
        if refusal.status == SWITCHED:
            return (refusal.code, refusal.reason) in told
        return refusal.status in told


def attacks_for(
    route: Route, *, only: Collection[str] = (), without: Collection[str] = ()
) -> list[Trial]:
    """List the attacks that a route has the traits for: all, `only` some, or `without` some.

    A name that is no attack's raises KeyError: what is left out by a name that has gone would
    come back unseen. So does a promise of the route for what is no kind of fault: it would hold
    nobody to anything.
    """
    if strange := sorted(set(route.refusals) - set(Fault)):
        raise KeyError(f"refusals of {route.path}: {', '.join(strange)} is no kind of fault")
    for name in (*only, *without):
        ATTACKS[name]
    return [
        Trial(attack, route)
        for name, attack in ATTACKS.items()
        if attack.suits(route) and name not in without and (not only or name in only)
    ]


def run_attacks(server: HasUrl, trials: Iterable[Trial]) -> list[Report]:
    """Run them all, and give a report each."""
    return [trial.against(server) for trial in trials]


def faults(reports: Iterable[Report]) -> dict[str, str]:
    """Give the attacks that the server did not withstand, each with its verdict."""
    return {report.name: report.verdict.value for report in reports if report.is_fault}


def _failure(refusal: Refusal) -> Verdict | None:
    """Tell a server that failed from one that refused."""
    if refusal.status == NO_ANSWER or (refusal.status == SWITCHED and refusal.code is None):
        return Verdict.UNANSWERED
    if refusal.status >= FIRST_SERVER_ERROR or refusal.code == INTERNAL_CODE:
        return Verdict.CRASHED
    return None


def _leaks(seen: Answer, knock: Knock) -> bool:
    """Tell whether the answer carries a part of what was presented (ASVS 16.5.1)."""
    refusal = seen.refusal or Refusal(SWITCHED)
    told = seen.head + refusal.reason + refusal.body.decode(errors="replace")
    sent = " ".join([knock.target, *(value for _, value in knock.headers), *knock.subprotocols])
    return any(secret in told for secret in _SECRET.findall(sent))
