"""Runs attacks against a server, each followed by its twin, and reports the verdicts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from typing_extensions import override

from itemwire.testing.attacks import ATTACKS
from itemwire.testing.model import Attack, Endpoint, Fault
from itemwire.testing.raw_handshakes import Answer, RawHandshake
from itemwire.testing.refusals import NO_ANSWER, SWITCHED, Refusal
from itemwire.testing.routes import Route

# A part of a token that identifies it, such as its signature; no name or path is as long.
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{40,}")

# RFC 6455 section 7.4.1 and IANA's registry: close codes that blame the client.
BLAMING_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 3000, 3003, *range(4000, 5000)})
BLAMING_STATUSES: Final = range(400, 500)
INTERNAL_CODE: Final = 1011
FIRST_SERVER_ERROR: Final = 500


class HasUrl(Protocol):
    """A running server: a `LiveServer`, or any other object with a `url`."""

    url: str


class Verdict(StrEnum):
    """How an attack ended; every verdict but the first is a fault of the server."""

    REFUSED = "refused"
    LET_IN = "let_in"
    OTHERWISE = "refused_otherwise"  # not in a way that `Route.refusals` allows
    CRASHED = "crashed"  # a status of 500 or more, or close code 1011
    UNANSWERED = "unanswered"  # the connection was dropped, or nothing came
    LEAKED = "leaked"  # the answer repeats a part of the credential
    TWIN_REFUSED = "twin_refused"  # the good twin was refused: the refusal proves nothing


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one attack; `twin` is None if the attack alone shows the fault."""

    attack: Attack
    verdict: Verdict
    handshake: RawHandshake
    seen: Answer
    twin: Answer | None = None

    @property
    def name(self) -> str:
        """The attack's name."""
        return self.attack.name

    @property
    def is_fault(self) -> bool:
        """Whether the server failed to withstand the attack."""
        return self.verdict is not Verdict.REFUSED

    def check(self) -> None:
        """Raise AssertionError with a full description if the server is at fault."""
        if self.is_fault:
            raise AssertionError(str(self))

    @override
    def __str__(self) -> str:
        """Describe the attack, the answer and the twin's answer, a line each."""
        lines = [
            f"{self.name}: {self.verdict}",
            f"  fault   {self.attack.fault}; {self.attack.why}",
            f"  sent    {self.handshake.method} {self.handshake.target[:120]}",
            f"  seen    {self.seen}",
        ]
        return "\n".join([*lines, f"  twin    {self.twin}"] if self.twin else lines)


@dataclass(frozen=True, slots=True)
class Trial:
    """An attack on a route: one value for `pytest.mark.parametrize`."""

    attack: Attack
    route: Route

    @property
    def __name__(self) -> str:
        """The attack's name, which pytest uses as the test's id."""
        return self.attack.name

    def against(self, server: HasUrl) -> Report:
        """Run the attack, then its twin, which also shows that the server survived."""
        endpoint = Endpoint(server.url, self.route)
        handshake = self.attack.make(endpoint)
        seen = endpoint.send(handshake)
        verdict = self._verdict(seen, handshake)
        if verdict is not Verdict.REFUSED:
            return Report(self.attack, verdict, handshake, seen)
        twin = endpoint.send(self.attack.twin(endpoint))
        verdict = Verdict.REFUSED if twin.is_in else Verdict.TWIN_REFUSED
        return Report(self.attack, verdict, handshake, seen, twin)

    def _verdict(self, seen: Answer, handshake: RawHandshake) -> Verdict:
        if seen.refusal is None:
            return Verdict.LET_IN
        if (failure := _failure(seen.refusal)) is not None:
            return failure
        if not self._is_as_promised(seen.refusal):
            return Verdict.OTHERWISE
        return Verdict.LEAKED if _leaks(seen, handshake) else Verdict.REFUSED

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
    """Return the attacks that fit a route: all, `only` some by name, or all `without` some.

    Raises `KeyError` for an unknown name: an exclusion with an outdated name would have no effect.
    Also raises it for an unknown kind of fault in `route.refusals`, which would never be checked.
    """
    if unknown := sorted(set(route.refusals) - set(Fault)):
        raise KeyError(f"refusals of {route.path}: unknown kinds of fault: {', '.join(unknown)}")
    for name in (*only, *without):
        ATTACKS[name]
    return [
        Trial(attack, route)
        for name, attack in ATTACKS.items()
        if attack.suits(route) and name not in without and (not only or name in only)
    ]


def run_attacks(server: HasUrl, trials: Iterable[Trial]) -> list[Report]:
    """Run all trials and return a report for each."""
    return [trial.against(server) for trial in trials]


def faults(reports: Iterable[Report]) -> dict[str, str]:
    """Return the attacks that the server did not withstand, each with its verdict."""
    return {report.name: report.verdict.value for report in reports if report.is_fault}


def _failure(refusal: Refusal) -> Verdict | None:
    """Return the verdict for a server that crashed or did not answer, None if it refused."""
    if refusal.status == NO_ANSWER or (refusal.status == SWITCHED and refusal.code is None):
        return Verdict.UNANSWERED
    if refusal.status >= FIRST_SERVER_ERROR or refusal.code == INTERNAL_CODE:
        return Verdict.CRASHED
    return None


def _leaks(seen: Answer, handshake: RawHandshake) -> bool:
    """Return whether the answer repeats a part of the credential (ASVS 5.0 16.5.1)."""
    refusal = seen.refusal or Refusal(SWITCHED)
    told = seen.head + refusal.reason + refusal.body.decode(errors="replace")
    sent = " ".join(
        [handshake.target, *(value for _, value in handshake.headers), *handshake.subprotocols]
    )
    return any(secret in told for secret in _SECRET.findall(sent))
