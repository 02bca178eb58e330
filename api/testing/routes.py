"""Where an attack goes: a route, how a good client comes to it, and how it must refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote

from api.testing.knocks import PATIENCE_SECONDS, Knock
from auth.testing import TokenFactory

Place = Literal["query", "cookie", "header", "subprotocol"]

Told = int | tuple[int, str]
"""How a client is refused: the HTTP status of a denial, or the code and reason of a close."""


@dataclass(frozen=True, slots=True)
class Source:
    """A place where a route looks for a credential, and the form it has there."""

    place: Place
    name: str = ""
    form: str = "{}"

    def present(self, knock: Knock, token: str) -> Knock:
        """Add a credential to a handshake."""
        written = self.form.replace("{}", token)
        if self.place == "query":
            return knock.query(f"{self.name}={quote(written, safe='', errors='surrogatepass')}")
        if self.place == "cookie":
            return knock.cookie(f"{self.name}={written}")
        if self.place == "header":
            return knock.header(self.name, written)
        return knock.offer(written)


QUERY: Final = Source("query", "token")
COOKIE: Final = Source("cookie", "session")
BEARER: Final = Source("header", "Authorization", "Bearer {}")
SUBPROTOCOL: Final = Source("subprotocol", form="itemwire.token.{}")


@dataclass(frozen=True, slots=True)
class Route:
    """A WebSocket route of the application under test.

    `path` has `{item}` where the item's id stands. `tokens` makes tokens that the application
    takes. `refusals` says for a kind of fault (see `Fault`) how it must be told; a kind that is
    left out may be told in any orderly way, which is: by a status from 400 to 499, or by a close
    frame whose code blames the client. `narrow` makes a good token for one item only; `number`
    names a query parameter that is an integer. `probe`, `quiet` and `patience` are
    those of `send_knock`.
    """

    path: str
    tokens: TokenFactory = field(repr=False)
    sources: tuple[Source, ...] = (QUERY,)
    item: str = "42"
    subprotocols: tuple[str, ...] = ()
    refusals: Mapping[str, tuple[Told, ...]] = field(default_factory=dict)
    narrow: Callable[[str], str] | None = field(default=None, repr=False)
    number: str | None = None
    probe: str | None = None
    quiet: float | None = None
    patience: float = PATIENCE_SECONDS

    @property
    def traits(self) -> frozenset[str]:
        """Tell what an attack may need: the places, and what else is known of the route."""
        has: set[str] = {source.place for source in self.sources}
        if any(s.place == "subprotocol" and s.form != "{}" for s in self.sources):
            has.add("prefix")
        if any(s.place == "header" and s.form == BEARER.form for s in self.sources):
            has.add("bearer")
        has |= {"item"} if "{item}" in self.path else set()
        has |= {"narrow"} if self.narrow else set()
        has |= {"number"} if self.number else set()
        return frozenset(has)

    def source(self, place: Place) -> Source:
        """Give the source of a place; KeyError if there is none."""
        return {source.place: source for source in self.sources}[place]


_REASONS: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "missing": (("credentials_missing", 401),),
    "credential": (("credentials_invalid", 401),),
    "origin": (("origin_denied", 403),),
    "right": (("forbidden", 403), ("scope_missing", 403)),
    "item": (("item_invalid", 403),),
    "query": (("query_invalid", 403),),
}


def itemwire_route(
    tokens: TokenFactory,
    refusal: Literal["close", "http"] = "close",
    path: str = "/items/{item}/ws",
) -> Route:
    """Describe Itemwire's own route, or one of yours that its dependencies guard."""
    told: dict[str, tuple[Told, ...]] = {
        fault: tuple((1008, reason) if refusal == "close" else status for reason, status in reasons)
        for fault, reasons in _REASONS.items()
    }
    # What is too large for a token, and what is too large for a head, are told apart.
    told["size"] = (*told["credential"], 400, 414, 431)
    return Route(
        path,
        tokens,
        sources=(QUERY, COOKIE, BEARER, SUBPROTOCOL),
        subprotocols=("itemwire.v1.json",),
        refusals=told,
        narrow=lambda item: tokens.good(scope=f"items:{item}:subscribe"),
        number="replay",
    )
