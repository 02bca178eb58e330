"""The client that a route must let in: without it, no refusal proves anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from itemwire.testing.model import Attack, Endpoint, Fault
from itemwire.testing.raw_handshakes import Answer, RawHandshake
from itemwire.testing.refusals import SWITCHED, Refusal
from itemwire.testing.reports import Report, Verdict
from itemwire.testing.routes import Route
from itemwire_auth.testing import ForgedTokens

GOOD_CLIENT: Final = Attack(
    "good_client",
    Fault.HANDSHAKE,
    lambda endpoint: endpoint.good(),
    why="your good client must be let in: nothing else was tried",
)

_NO_CREDENTIAL: Final = (
    "the kit cannot know a good credential: give the route `tokens`, or `good`, which returns one"
)
_CLAIMS: Final = (
    "the token has {claims}; an application that expects none of them may refuse it, as PyJWT "
    "refuses an `aud`: TokenFactory(key, issuer=None, audience=None, token_type=None) leaves them "
    "out, and `good` takes a token of your own making"
)
_BEFORE: Final = "it was refused before it was accepted: is this the path, and"
_AFTER: Final = "it was accepted, and then closed:"
_PLACE: Final = "is the credential read in this place ({})? The application's log may say more"


@dataclass(slots=True)
class GoodClient:
    """The good client of a route, sent once to each server, in every place of a credential."""

    route: Route
    _reports: dict[str, Report] = field(default_factory=dict[str, Report], repr=False)
    _told: set[str] = field(default_factory=set[str], repr=False)

    def refusal(self, url: str) -> Report | None:
        """Return the report of a good client that the server at a URL refuses, or None."""
        report = self._report(url)
        return report if report.is_fault else None

    def report_for(self, attack: Attack, url: str) -> Report:
        """Return the report of the good client, and that an attack is blocked the next time."""
        report = self._report(url)
        if url in self._told and attack is not GOOD_CLIENT:
            return Report(attack, Verdict.BLOCKED, report.handshake, report.seen)
        self._told.add(url)
        return report

    def _report(self, url: str) -> Report:
        if url not in self._reports:
            self._reports[url] = self._send(Endpoint(url, self.route))
        return self._reports[url]

    def _send(self, endpoint: Endpoint) -> Report:
        for source in self.route.sources:
            handshake = endpoint.good(source.place)
            seen, notes = _answer(endpoint, handshake)
            if not seen.is_in:
                notes = notes or _notes(self.route, seen, source.place)
                return Report(GOOD_CLIENT, Verdict.GOOD_REFUSED, handshake, seen, notes=notes)
        return Report(GOOD_CLIENT, Verdict.GOOD_LET_IN, endpoint.good(), Answer(None))


def _answer(endpoint: Endpoint, handshake: RawHandshake) -> tuple[Answer, tuple[str, ...]]:
    """Return the answer, and what the kit needs if there is none to see."""
    try:
        return endpoint.send(handshake), ()
    except AssertionError as error:
        return Answer(Refusal(SWITCHED)), (str(error),)


def _notes(route: Route, seen: Answer, place: str) -> tuple[str, ...]:
    """Return what may be wrong with the description of a route whose good client is refused."""
    if route.good is None and isinstance(route.tokens, ForgedTokens):
        return (_NO_CREDENTIAL,)
    is_accepted = seen.refusal is not None and seen.refusal.status == SWITCHED
    where = f"{_AFTER if is_accepted else _BEFORE} {_PLACE.format(place)}"
    tokens = route.tokens
    of_token = {"iss": tokens.issuer, "aud": tokens.audience, "typ": tokens.token_type}
    claims = [f"{name} {value!r}" for name, value in of_token.items() if value is not None]
    if route.good is not None or not claims:
        return (where,)
    return where, _CLAIMS.format(claims=", ".join(claims))
