"""Where an attack goes: a route, how a good client comes to it, and how it must refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal
from urllib.parse import quote

import httpx

from itemwire.testing.knocks import PATIENCE_SECONDS, POLICY, Knock, Refreshing
from itemwire_auth.testing import TokenFactory

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
class Ticketing:
    """One-time tickets: `make(url, token, wanted)` gets one from the server at the URL.

    `wanted` may have an `item` and an `origin`. The query parameter `name` presents it.
    """

    make: Callable[[str, str, Mapping[str, str]], str] = field(repr=False)
    name: str = "ticket"


@dataclass(frozen=True, slots=True)
class Route:
    """A WebSocket route of the application under test.

    `path` has `{item}` where the item's id stands. `tokens` makes tokens that the application
    takes. `refusals` says for a kind of fault (see `Fault`) how it must be told; a kind that is
    left out may be told in any orderly way, which is: by a status from 400 to 499, or by a close
    frame whose code blames the client. `narrow` makes a good token for one item only; `number`
    names a query parameter that is an integer. `tickets` says how one-time tickets are had;
    `revoke(url, token_id)` takes the token with this `jti` back; `refreshing` says how a token is
    offered inside. `probe`, `quiet` and `patience` are those of `send_knock`.
    """

    path: str
    tokens: TokenFactory = field(repr=False)
    sources: tuple[Source, ...] = (QUERY,)
    item: str = "42"
    subprotocols: tuple[str, ...] = ()
    refusals: Mapping[str, tuple[Told, ...]] = field(default_factory=dict)
    narrow: Callable[[str], str] | None = field(default=None, repr=False)
    number: str | None = None
    tickets: Ticketing | None = None
    revoke: Callable[[str, str], None] | None = field(default=None, repr=False)
    refreshing: Refreshing | None = None
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
        has |= {"tickets"} if self.tickets else set()
        has |= {"revoke"} if self.revoke else set()
        has |= {"refresh"} if self.refreshing else set()
        return frozenset(has)

    def source(self, place: Place) -> Source:
        """Give the source of a place; KeyError if there is none."""
        return {source.place: source for source in self.sources}[place]


_REASONS: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "missing": (("credentials_missing", 401),),
    "credential": (("credentials_invalid", 401),),
    "ticket": (("ticket_invalid", 401),),
    "revoked": (("token_revoked", 401),),
    "origin": (("origin_denied", 403),),
    "right": (("forbidden", 403), ("scope_missing", 403)),
    "item": (("item_invalid", 403),),
    "query": (("query_invalid", 403),),
}


def itemwire_route(
    tokens: TokenFactory,
    refusal: Literal["close", "http"] = "close",
    path: str = "/items/{item}/ws",
    *,
    tickets: bool = False,
    revocations: bool = False,
    refreshing: bool = False,
) -> Route:
    """Describe Itemwire's own route, or one of yours that its dependencies guard.

    `tickets` and `revocations` say that the server has `POST /auth/tickets` and, with
    `ITEMWIRE_ADMIN`, `POST /admin/revocations`, and `refreshing` that the route takes `refresh`
    envelopes; what is attacked is then these, too.
    """
    told: dict[str, tuple[Told, ...]] = {
        fault: tuple((1008, reason) if refusal == "close" else status for reason, status in reasons)
        for fault, reasons in _REASONS.items()
    }
    # What is too large for a token, and what is too large for a head, are told apart.
    told["size"] = (*told["credential"], 400, 414, 431)
    # In an envelope, or by a close frame: a connection that is open is not denied.
    inside = ("credentials_invalid", "token_revoked", "forbidden", "scope_missing")
    told["refresh"] = tuple((POLICY, reason) for reason in inside)
    return Route(
        path,
        tokens,
        sources=(QUERY, COOKIE, BEARER, SUBPROTOCOL),
        subprotocols=("itemwire.v1.json",),
        refusals=told,
        narrow=lambda item: tokens.good(scope=f"items:{item}:subscribe"),
        number="replay",
        tickets=Ticketing(_ask_for_ticket) if tickets else None,
        revoke=partial(_revoke, tokens) if revocations else None,
        refreshing=Refreshing(_refresh, _outcome) if refreshing else None,
    )


def _refresh(token: str) -> str:
    return json.dumps({"type": "refresh", "ref": "kit", "token": token})


def _outcome(frame: str) -> str | None:
    envelope = json.loads(frame)
    if envelope.get("ref") != "kit":
        return None
    return "" if envelope["type"] == "reply" else str(envelope["code"])


def _ask_for_ticket(url: str, token: str, wanted: Mapping[str, str]) -> str:
    return str(_post(f"{url}/auth/tickets", token, wanted)["ticket"])


def _revoke(tokens: TokenFactory, url: str, token_id: str) -> None:
    _post(f"{url}/admin/revocations", tokens.good(scope="admin"), {"token_id": token_id})


def _post(url: str, token: str, body: Mapping[str, str]) -> dict[str, object]:
    headers = {"Authorization": BEARER.form.replace("{}", token)}
    answer = httpx.post(url, headers=headers, json=body, timeout=PATIENCE_SECONDS, trust_env=False)
    answer.raise_for_status()
    told: dict[str, object] = answer.json()
    return told
