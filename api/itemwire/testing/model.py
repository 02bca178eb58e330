"""What an attack is: a handshake that must be refused, and its twin, which must not be."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from itemwire.testing.knocks import Answer, Knock, send_knock
from itemwire.testing.routes import Place, Route, Source


class Fault(StrEnum):
    """What is wrong with an attack's handshake, and so what a refusal should name."""

    MISSING = "missing"  # no credential where one is looked for
    CREDENTIAL = "credential"  # a credential that must not be accepted
    ORIGIN = "origin"  # a cookie from a foreign page
    TICKET = "ticket"  # a one-time ticket that is not good, or not here
    REVOKED = "revoked"  # a token that was taken back
    REFRESH = "refresh"  # a token offered on an open connection, and not good for it
    RIGHT = "right"  # a good credential that does not open this item
    ITEM = "item"  # an item's id that can be none
    QUERY = "query"  # a query value that can be none
    SIZE = "size"  # too large
    HANDSHAKE = "handshake"  # no proper WebSocket handshake
    ROUTE = "route"  # a path that is not the route's


@dataclass(frozen=True, slots=True)
class Door:
    """The route on a running server, and handshakes for it that attacks are made from."""

    url: str
    route: Route

    @property
    def host(self) -> str:
        """Give the name and port that the server is reached by."""
        return urlsplit(self.url).netloc

    def bare(self, item: str | None = None) -> Knock:
        """Come without a credential."""
        route = self.route
        target = route.path.replace("{item}", route.item if item is None else item)
        return Knock(target, subprotocols=route.subprotocols)

    def good(self, place: Place | None = None, *, item: str | None = None) -> Knock:
        """Come with a good token, in the first of the route's sources or the one named."""
        return self.with_token(self.token(), place, item=item)

    def with_token(
        self, token: str, place: Place | None = None, *, item: str | None = None
    ) -> Knock:
        """Come with a token; a cookie comes from the server's own origin."""
        source = self.route.source(place) if place else self.route.sources[0]
        knock = source.present(self.bare(item), token)
        return knock.header("Origin", self.url) if source.place == "cookie" else knock

    def token(self, **claims: object) -> str:
        """Make a good token, or one whose only fault is in these claims."""
        return self.route.tokens.good(**claims)

    def source(self, place: Place) -> Source:
        """Give the route's source of a place."""
        return self.route.source(place)

    def ticket(self, token: str | None = None, **wanted: str) -> str:
        """Get a ticket, bound to an `item` or an `origin` if it is said."""
        if self.route.tickets is None:
            raise ValueError("the route does not say how to get a ticket")
        return self.route.tickets.make(self.url, token or self.token(), wanted)

    def with_ticket(self, ticket: str) -> Knock:
        """Come with a ticket."""
        name = self.route.tickets.name if self.route.tickets else ""
        return self.bare().query(f"{name}={ticket}")

    def revoke(self, token_id: str) -> None:
        """Take the token with this `jti` back."""
        if self.route.revoke is None:
            raise ValueError("the route does not say how to take a token back")
        self.route.revoke(self.url, token_id)

    def send(self, knock: Knock) -> Answer:
        """Knock; where it is sent several times at once, tell of the second that got in."""
        if knock.at_once == 1:
            return self._send(knock)
        with ThreadPoolExecutor(knock.at_once) as rivals:
            answers = list(rivals.map(self._send, [knock] * knock.at_once))
        return sorted(answers, key=lambda answer: answer.is_in)[-2]

    def enter(self, knock: Knock) -> Knock:
        """Knock, and be let in; AssertionError if not, for what comes then would prove nothing."""
        answer = self.send(knock)
        if not answer.is_in:
            raise AssertionError(f"a good client is not let in: {answer}")
        return knock

    def _send(self, knock: Knock) -> Answer:
        route = self.route
        return send_knock(
            self.url,
            knock,
            probe=route.probe,
            quiet=route.quiet,
            patience=route.patience,
            refreshing=route.refreshing,
        )

    def narrow(self, item: str) -> str:
        """Make a token that opens one item."""
        if self.route.narrow is None:
            raise ValueError("the route does not say how to make a token for one item")
        return self.route.narrow(item)


Make = Callable[[Door], Knock]


def good_twin(door: Door) -> Knock:
    """Come as most twins do: with a good token where the route looks first."""
    return door.good()


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the catalogue.

    `why` is who says that it must be refused. `needs` are traits that a route must have for the
    attack to mean anything: places of credentials, `item`, `narrow`, `number`, `prefix`, `bearer`,
    `tickets`, `revoke`, `refresh`.
    """

    name: str
    fault: Fault
    make: Make = field(repr=False)
    twin: Make = field(default=good_twin, repr=False)
    needs: frozenset[str] = frozenset()
    why: str = ""

    def suits(self, route: Route) -> bool:
        """Tell whether a route has what the attack needs."""
        return self.needs <= route.traits
