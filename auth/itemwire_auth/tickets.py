"""One-time tickets: credentials for a URL, worth nothing once they have been seen there.

A ticket is 32 random bytes. What it stands for waits in a store under its digest, so a dump of the
store holds no ticket and no token, and is taken out as it is used: of two who present one ticket
at the same time, on whatever node, one gets in (RFC 9700 section 4.3.2 is what this is for).

Whoever can write into the store can name callers: it is trusted as the keys are.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Protocol, cast

from itemwire_auth.errors import InvalidTicket, InvalidToken
from itemwire_auth.origins import normal_origin
from itemwire_auth.principal import Principal, frozen
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import ADMIN

MAX_SECONDS: Final = 60

# All that a principal is but its rights and claims: a field that is added cannot be forgotten.
_CALLER: Final = tuple(
    one.name for one in fields(Principal) if one.name not in {"rights", "claims"}
)

_TICKET: Final = re.compile(r"[\w-]{43}", re.ASCII)  # 32 bytes in base64url


class TicketStore(Protocol):
    """Keeps values for a short time, each for one taker; all nodes share it."""

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value for so many seconds; raise Unavailable if it may not have been kept."""
        ...

    async def take(self, key: str) -> bytes | None:
        """Give a value and forget it, as one step; raise Unavailable if that was not possible."""
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as its owner gets it, and the Unix time at which it is worth nothing."""

    value: str = field(repr=False)
    expires_at: int


@dataclass(slots=True)
class TicketCounts:
    """How many tickets were made, and used, on this node."""

    made: int = 0
    used: int = 0


def new_value() -> str:
    """Make a ticket's value: 32 random bytes, which nobody guesses in its time or any other."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Tickets:
    """Makes tickets for callers who are known, and knows them again by their tickets."""

    store: TicketStore
    seconds: float = 30
    leeway: float = 0  # by which the token may outlive its `exp`, here as elsewhere
    clock: Callable[[], float] = time.time
    new_value: Callable[[], str] = new_value
    counts: TicketCounts = field(default_factory=TicketCounts)

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MAX_SECONDS:
            raise ValueError(f"a ticket lives at most {MAX_SECONDS} s")

    async def make(
        self, principal: Principal, *, item_id: str | None = None, origin: str | None = None
    ) -> Ticket:
        """Make a ticket; where an item or an origin is given it is good there and nowhere else.

        It ends no later than the caller's token.
        """
        if origin is not None and normal_origin(origin) is None:
            raise ValueError("the origin is not a scheme://host[:port]")
        now = self.clock()
        seconds = min(self.seconds, principal.expires_at + self.leeway - now)
        if seconds <= 0:
            raise InvalidToken("expiry", "it expired before it got a ticket")
        value = self.new_value()
        kept = _Kept(principal, item_id, origin and normal_origin(origin))
        await self.store.put(_key(value), kept.written(), seconds)
        self.counts.made += 1
        return Ticket(value, math.floor(now + seconds))

    async def use(self, value: str, *, item_id: str | None, origins: Sequence[str]) -> Principal:
        """Tell whom a ticket was made for, once; InvalidTicket if it is not good, or not here.

        `item_id` is the item it is presented at, `origins` are the Origin headers it came with. A
        ticket at the wrong place is spent all the same: it has been seen by who should not have
        it, or is about to be tried elsewhere.
        """
        if _TICKET.fullmatch(value) is None:
            raise InvalidTicket("it is not 43 characters of base64url")  # spares the store
        content = await self.store.take(_key(value))
        if content is None:
            raise InvalidTicket("it is unknown, used or expired")
        kept = _Kept.read(content)
        if kept.item_id not in (None, item_id):
            raise InvalidTicket(f"it was made for the item {kept.item_id!r}")
        if kept.origin is not None and list(map(normal_origin, origins)) != [kept.origin]:
            raise InvalidTicket(f"it was made for the origin {kept.origin!r}")
        if self.clock() - kept.principal.expires_at >= self.leeway:
            raise InvalidTicket("its token has expired")
        self.counts.used += 1
        return kept.principal


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a ticket stands for: a caller, and where it is good."""

    principal: Principal
    item_id: str | None
    origin: str | None

    @classmethod
    def read(cls, content: bytes) -> _Kept:
        """Read what `written` wrote; another version's is refused, not guessed at."""
        try:
            kept = json.loads(content)
            caller = kept["caller"]
            rights = ScopeSet.of_claims(ADMIN if kept["admin"] else "", kept["items"])
            claims = cast("Mapping[str, object]", frozen(kept["claims"]))
            principal = Principal(
                rights=rights, claims=claims, **{name: caller[name] for name in _CALLER}
            )
            return cls(principal, kept["item"], kept["origin"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidTicket("the store holds something else for it") from error

    def written(self) -> bytes:
        """Write it down, rights and all: they need not be what the claims say."""
        principal = self.principal
        content = {
            "caller": {name: getattr(principal, name) for name in _CALLER},
            "items": principal.rights.as_items_claim(),
            "admin": principal.rights.admin,
            "claims": principal.claims,
            "item": self.item_id,
            "origin": self.origin,
        }
        return json.dumps(content, default=_thawed, separators=(",", ":")).encode()


def _thawed(value: object) -> object:
    """Give JSON's encoder what it takes in place of what it does not."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"a claim holds a {type(value).__name__}, which is no JSON")


def _key(value: str) -> str:
    """Name a ticket by its digest, so that whoever reads the store cannot use what is there."""
    return f"ticket:{sha256(value.encode()).hexdigest()}"
