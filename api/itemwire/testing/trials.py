"""Runs attacks against a server, each followed by its twin, after one good client."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from itemwire.testing.attacks import ATTACKS
from itemwire.testing.good_client import GOOD_CLIENT, GoodClient
from itemwire.testing.model import Attack, Endpoint, Fault
from itemwire.testing.raw_handshakes import Answer, RawHandshake
from itemwire.testing.refusals import NO_ANSWER, SWITCHED, Refusal
from itemwire.testing.reports import Report, Verdict
from itemwire.testing.routes import Route
from itemwire_auth.testing import Severity

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


@dataclass(frozen=True, slots=True)
class Trial:
    """An attack on a route: one value for `pytest.mark.parametrize`."""

    attack: Attack
    route: Route
    good_client: GoodClient
    severity: Severity = Severity.RULE

    @property
    def __name__(self) -> str:
        """The attack's name, which pytest uses as the test's id."""
        return self.attack.name

    def against(self, server: HasUrl) -> Report:
        """Run the attack, then its twin, which also shows that the server survived.

        The first trial at a server sends the good client. If that is refused, its report comes
        back in place of this one's, and every later trial is `blocked`.
        """
        refused = self.good_client.refusal(server.url)
        if self.attack is GOOD_CLIENT or refused is not None:
            return self.good_client.report_for(self.attack, server.url)
        return self._attack(Endpoint(server.url, self.route))

    def _attack(self, endpoint: Endpoint) -> Report:
        handshake = self.attack.make(endpoint)
        seen = endpoint.send(handshake)
        verdict = self._verdict(seen, handshake)
        if verdict is not Verdict.REFUSED:
            return Report(self.attack, verdict, handshake, seen, wanted=self.severity)
        twin = endpoint.send(self.attack.twin(endpoint))
        verdict = Verdict.REFUSED if twin.is_in else Verdict.TWIN_REFUSED
        return Report(self.attack, verdict, handshake, seen, twin, self.severity)

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
    route: Route,
    *,
    severity: Severity | str | None = None,
    only: Collection[str] = (),
    without: Collection[str] = (),
) -> list[Trial]:
    """Return the good client, then the attacks that fit a route, up to a severity.

    The severity is that of the route unless given. `without` leaves some out by name. `only` names
    those to return, of any severity, and nothing else.

    Raises `KeyError` for an unknown name: an exclusion with an outdated name would have no effect.
    Also raises it for an unknown kind of fault in `route.refusals`, which would never be checked.
    """
    if unknown := sorted(set(route.refusals) - set(Fault)):
        raise KeyError(f"refusals of {route.path}: unknown kinds of fault: {', '.join(unknown)}")
    rows = {GOOD_CLIENT.name: GOOD_CLIENT, **ATTACKS}
    for name in (*only, *without):
        rows[name]
    good_client = GoodClient(route)
    wanted = Severity.RULE if only else Severity(severity or route.severity)
    return [
        Trial(attack, route, good_client, wanted)
        for name, attack in rows.items()
        if attack.suits(route)
        and name not in without
        and (name in only if only else wanted.includes(attack.severity))
    ]


def run_attacks(server: HasUrl, trials: Iterable[Trial]) -> list[Report]:
    """Run all trials and return their reports; only the first if it refuses a good client."""
    reports: list[Report] = []
    for trial in trials:
        reports.append(trial.against(server))
        if reports[-1].verdict is Verdict.GOOD_REFUSED:
            return reports[-1:]
    return reports


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
