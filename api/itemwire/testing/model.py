"""What an attack is: a handshake that must be refused, and a twin that must be accepted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from itemwire.testing.raw_handshakes import Answer, RawHandshake, send_handshake
from itemwire.testing.routes import Place, Route, Source
from itemwire_auth.testing import BAD_TOKENS, ForgedTokens, Severity


class Fault(StrEnum):
    """What is wrong with an attack's handshake, which the refusal should name."""

    MISSING = "missing"  # no credential in any place that the route reads
    CREDENTIAL = "credential"  # a credential that is invalid or ambiguous
    ORIGIN = "origin"  # a cookie sent by a page of another origin
    TICKET = "ticket"  # a one-time ticket that is invalid, or valid elsewhere only
    REVOKED = "revoked"  # a token that was revoked
    REFRESH = "refresh"  # a bad token offered on an open connection
    RIGHT = "right"  # a valid credential without the right to this item
    ITEM = "item"  # an invalid item id
    QUERY = "query"  # an invalid value of a query parameter
    SIZE = "size"  # too large
    HANDSHAKE = "handshake"  # not a valid WebSocket handshake
    ROUTE = "route"  # a path that belongs to no route


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route on a running server, with the good handshakes that attacks are derived from."""

    url: str
    route: Route

    @property
    def host(self) -> str:
        """The host and port of the server's URL."""
        return urlsplit(self.url).netloc

    def bare(self, item: str | None = None) -> RawHandshake:
        """Return a handshake without a credential."""
        route = self.route
        target = route.path.replace("{item}", route.item if item is None else item)
        return RawHandshake(target, subprotocols=route.subprotocols)

    def good(self, place: Place | None = None, *, item: str | None = None) -> RawHandshake:
        """Return a handshake with a good token, in the route's first source unless named."""
        return self.with_token(self.token(), place, item=item)

    def with_token(
        self, token: str, place: Place | None = None, *, item: str | None = None
    ) -> RawHandshake:
        """Return a handshake with a token; a cookie is sent with the server's own origin."""
        source = self.route.source(place) if place else self.route.sources[0]
        handshake = source.present(self.bare(item), token)
        return handshake.header("Origin", self.url) if source.place == "cookie" else handshake

    def token(self, **claims: object) -> str:
        """Return a good token, or one that differs from it in these claims only."""
        if self.route.good is not None and not claims:
            return self.route.good()
        return self.route.tokens.good(**claims)

    def bad(self, name: str) -> str:
        """Return a bad token, a row of BAD_TOKENS; a forged one if only the application signs."""
        tokens = self.route.tokens
        if self.route.good is not None and isinstance(tokens, ForgedTokens):
            tokens = tokens.like(self.route.good())
        return BAD_TOKENS[name](tokens)

    def source(self, place: Place) -> Source:
        """Return the route's credential source in a place; KeyError if it has none."""
        return self.route.source(place)

    def ticket(self, token: str | None = None, **wanted: str) -> str:
        """Return a new one-time ticket, bound to an `item` or an `origin` if given."""
        if self.route.tickets is None:
            raise ValueError("the route needs `tickets` to make a ticket")
        return self.route.tickets.make(self.url, token or self.token(), wanted)

    def with_ticket(self, ticket: str) -> RawHandshake:
        """Return a handshake with a ticket."""
        name = self.route.tickets.name if self.route.tickets else ""
        return self.bare().query(f"{name}={ticket}")

    def revoke(self, token_id: str) -> None:
        """Revoke the token with this `jti`."""
        if self.route.revoke is None:
            raise ValueError("the route needs `revoke` to revoke a token")
        self.route.revoke(self.url, token_id)

    def send(self, handshake: RawHandshake) -> Answer:
        """Send a handshake and return its answer.

        A handshake with `at_once` is sent so many times in parallel, and the answer is that of the
        second one to be accepted, if any: one may be, two are a fault.
        """
        if handshake.at_once == 1:
            return self._send(handshake)
        with ThreadPoolExecutor(handshake.at_once) as rivals:
            answers = list(rivals.map(self._send, [handshake] * handshake.at_once))
        return sorted(answers, key=lambda answer: answer.is_in)[-2]

    def enter(self, handshake: RawHandshake) -> RawHandshake:
        """Send a handshake that must be accepted, and return it.

        AssertionError if it is refused: the attack that repeats it would prove nothing.
        """
        answer = self.send(handshake)
        if not answer.is_in:
            raise AssertionError(f"a good handshake was not accepted: {answer}")
        return handshake

    def _send(self, handshake: RawHandshake) -> Answer:
        route = self.route
        return send_handshake(
            self.url,
            handshake,
            probe=route.probe,
            quiet=route.quiet,
            patience=route.patience,
            refreshing=route.refreshing,
        )

    def narrow(self, item: str) -> str:
        """Return a token with the right to one item only."""
        if self.route.narrow is None:
            raise ValueError("the route needs `narrow` to make a token for one item")
        return self.route.narrow(item)


Make = Callable[[Endpoint], RawHandshake]


def good_twin(endpoint: Endpoint) -> RawHandshake:
    """Return the twin of most attacks: a good token in the route's first source."""
    return endpoint.good()


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the catalogue.

    `make` returns the handshake that must be refused, `twin` one that must be accepted. `why` names
    the rule or its source. `needs` are the traits that a route must have for the attack to make
    sense: places of credentials, `item`, `narrow`, `number`, `prefix`, `bearer`, `tickets`,
    `revoke`, `refresh`; `signing`, if the kit has the application's key; `issuer`, `audience` and
    `type`, if tokens have these. `severity` says how bad it is that the attack is let in.
    """

    name: str
    fault: Fault
    make: Make = field(repr=False)
    twin: Make = field(default=good_twin, repr=False)
    needs: frozenset[str] = frozenset()
    why: str = ""
    severity: Severity = Severity.HOLE

    def suits(self, route: Route) -> bool:
        """Return whether a route has every trait that the attack needs."""
        return self.needs <= route.traits
