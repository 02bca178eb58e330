"""The route under attack: where it reads credentials, and how it must refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal
from urllib.parse import quote

import httpx

from itemwire.testing.raw_handshakes import ANSWER_SECONDS, POLICY, RawHandshake, Refreshing
from itemwire_auth.testing import ForgedTokens, Severity, TokenFactory

Place = Literal["query", "cookie", "header", "subprotocol"]

Told = int | tuple[int, str]
"""A way to refuse: the HTTP status of a response, or the code and reason of a close frame."""


@dataclass(frozen=True, slots=True)
class Source:
    """A place where a route reads a credential, and its form there: `{}` is the token."""

    place: Place
    name: str = ""
    form: str = "{}"

    def present(self, handshake: RawHandshake, token: str) -> RawHandshake:
        """Return the handshake with a credential added in this place."""
        written = self.form.replace("{}", token)
        if self.place == "query":
            return handshake.query(f"{self.name}={quote(written, safe='', errors='surrogatepass')}")
        if self.place == "cookie":
            return handshake.cookie(f"{self.name}={written}")
        if self.place == "header":
            return handshake.header(self.name, written)
        return handshake.offer(written)


QUERY: Final = Source("query", "token")
COOKIE: Final = Source("cookie", "session")
BEARER: Final = Source("header", "Authorization", "Bearer {}")
SUBPROTOCOL: Final = Source("subprotocol", form="itemwire.token.{}")


@dataclass(frozen=True, slots=True)
class Ticketing:
    """One-time tickets: `make(url, token, wanted)` asks the server at a URL for one.

    `wanted` may hold an `item` and an `origin` that the ticket is bound to. The query parameter
    `name` presents the ticket.
    """

    make: Callable[[str, str, Mapping[str, str]], str] = field(repr=False)
    name: str = "ticket"


@dataclass(frozen=True, slots=True)
class Route:
    """A WebSocket route of the application under test.

    - `path` has `{item}` in place of the item's id; `item` is an id that exists.
    - `tokens` makes tokens that the application accepts, and bad ones that are like them.
    - `good` returns a credential that the application accepts, where it is not for `tokens` to
      make: a token of your own, a key, an id of a session. Without `tokens`, bad ones are forged:
      in the likeness of the good one, if that is a JWT.
    - `sources` are the places where the route reads a credential.
    - `refusals` says, by kind of fault (see `Fault`), how the route must refuse. Kinds that are
      left out may be refused by any status from 400 to 499, or any close code that blames the
      client.
    - `narrow(item)` makes a good token for one item only.
    - `number` names a query parameter that is an integer.
    - `tickets` says how to get a one-time ticket.
    - `revoke(url, token_id)` revokes the token with this `jti`.
    - `refreshing` says how a token is offered on an open connection.
    - `severity` says which attacks it should withstand, unless `attacks_for` is told otherwise.
    - `probe`, `quiet` and `patience` are those of `send_handshake`.
    """

    path: str
    tokens: TokenFactory = field(default_factory=ForgedTokens, repr=False)
    sources: tuple[Source, ...] = (QUERY,)
    good: Callable[[], str] | None = field(default=None, repr=False)
    item: str = "42"
    subprotocols: tuple[str, ...] = ()
    refusals: Mapping[str, tuple[Told, ...]] = field(default_factory=dict[str, tuple[Told, ...]])
    narrow: Callable[[str], str] | None = field(default=None, repr=False)
    number: str | None = None
    tickets: Ticketing | None = None
    revoke: Callable[[str, str], None] | None = field(default=None, repr=False)
    refreshing: Refreshing | None = None
    severity: Severity | str = Severity.WEAKNESS
    probe: str | None = None
    quiet: float | None = None
    patience: float = ANSWER_SECONDS

    @property
    def traits(self) -> frozenset[str]:
        """The names of all that attacks may need of this route, see `Attack.needs`."""
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
        return frozenset(has | _signed(self.tokens))

    def source(self, place: Place) -> Source:
        """Return the source in a place; KeyError if there is none."""
        return {source.place: source for source in self.sources}[place]


def _signed(tokens: TokenFactory) -> set[str]:
    """Return the traits of a route whose own key signs tokens, by what is in these."""
    if isinstance(tokens, ForgedTokens):
        return set()
    ours = {"issuer": tokens.issuer, "audience": tokens.audience, "type": tokens.token_type}
    return {"signing", *(name for name, value in ours.items() if value is not None)}


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
    """Return Itemwire's own route, or a route of yours that its dependencies guard.

    All attacks are tried on it. `refusal` is the server's `ITEMWIRE_REFUSAL`. Three more features
    are attacked if you name them: `tickets` (the server has `POST /auth/tickets`), `revocations`
    (with `ITEMWIRE_ADMIN`, it has `POST /admin/revocations`), and `refreshing` (the route accepts
    `refresh` envelopes).
    """
    told: dict[str, tuple[Told, ...]] = {
        fault: tuple((1008, reason) if refusal == "close" else status for reason, status in reasons)
        for fault, reasons in _REASONS.items()
    }
    # A token over its limit is a bad credential; a request head over its limit has a status.
    told["size"] = (*told["credential"], 400, 414, 431)
    # On an open connection there is no HTTP status: an envelope or a close frame refuses.
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
        severity=Severity.RULE,
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
    answer = httpx.post(url, headers=headers, json=body, timeout=ANSWER_SECONDS, trust_env=False)
    answer.raise_for_status()
    told: dict[str, object] = answer.json()
    return told
