"""What an attack is: a handshake that must be refused, and its twin, which must not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from api.testing.knocks import Knock
from api.testing.routes import Place, Route, Source


class Fault(StrEnum):
    """What is wrong with an attack's handshake, and so what a refusal should name."""

    MISSING = "missing"  # no credential where one is looked for
    CREDENTIAL = "credential"  # a credential that must not be accepted
    ORIGIN = "origin"  # a cookie from a foreign page
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
    attack to mean anything: places of credentials, `item`, `narrow`, `number`, `prefix`, `bearer`.
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
