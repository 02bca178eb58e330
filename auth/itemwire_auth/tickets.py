"""One-time tickets: credentials for a URL, worthless once they have been used there.

A ticket is 32 random bytes. The caller it stands for waits in a store under the ticket's digest, so
a dump of the store holds no ticket, and no token that could be read: where an application finds its
callers itself, what it found them by is kept, encrypted with a key made of the ticket. Using a
ticket takes the entry out: of two clients that present one ticket at the same time, on any nodes,
one gets in (RFC 9700 section 4.3.2 says why credentials in a URL must be worthless afterwards).

Anyone who can write to the store can impersonate callers: trust it as you trust the keys.
"""

from __future__ import annotations

import hmac
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

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from itemwire_auth.errors import InvalidTicket, InvalidToken
from itemwire_auth.origins import normal_origin
from itemwire_auth.principal import Principal, frozen
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import ADMIN
from itemwire_auth.ticket_limits import TicketAllowances

MAX_SECONDS: Final = 60

# Every field of a principal except rights and claims: a new field cannot be forgotten here.
_CALLER: Final = tuple(
    one.name for one in fields(Principal) if one.name not in {"rights", "claims"}
)

NONCE: Final = bytes(12)  # the key of a ticket encrypts one text and no other

_TICKET: Final = re.compile(r"[\w-]{43}", re.ASCII)  # 32 bytes in base64url


class TicketStore(Protocol):
    """Keeps values for a short time, each to be taken once; all nodes share it."""

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value for some seconds; raise Unavailable if it may not have been kept."""
        ...

    async def take(self, key: str) -> bytes | None:
        """Return a value and forget it in one atomic step; raise Unavailable if that failed."""
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as its owner gets it, and the Unix time at which it expires."""

    value: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The caller of a ticket, and the credential that was kept with it, if any."""

    principal: Principal
    credential: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class TicketCounts:
    """How many tickets were issued, and used, on this node."""

    made: int = 0
    used: int = 0


def new_value() -> str:
    """Return a new value for a ticket: 32 random bytes, which cannot be guessed."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Tickets:
    """Issues tickets to verified callers, and identifies callers by their tickets."""

    store: TicketStore
    seconds: float = 30
    leeway: float = 0  # seconds by which a token outlives its `exp`, as in its checks
    clock: Callable[[], float] = time.time
    new_value: Callable[[], str] = new_value
    counts: TicketCounts = field(default_factory=TicketCounts)
    allowances: TicketAllowances = field(default_factory=TicketAllowances)  # by default, any

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MAX_SECONDS:
            raise ValueError(f"a ticket lives at most {MAX_SECONDS} s")

    async def make(
        self,
        principal: Principal,
        *,
        item_id: str | None = None,
        origin: str | None = None,
        credential: bytes | None = None,
    ) -> Ticket:
        """Return a new ticket; with an item or an origin it is valid only there.

        A `credential` is kept with it, encrypted so that the ticket alone opens it.

        It expires no later than the caller's token: InvalidToken if that has expired. RateLimited
        if the caller asks too often or has too many unused tickets.
        """
        if origin is not None and normal_origin(origin) is None:
            raise ValueError("the origin is not a scheme://host[:port]")
        now = self.clock()
        seconds = min(self.seconds, principal.expires_at + self.leeway - now)
        if seconds <= 0:
            raise InvalidToken("expiry", "it expired before it got a ticket")
        self.allowances.spend(principal.identity, seconds)
        value = self.new_value()
        sealed = None if credential is None else _cipher(value).encrypt(NONCE, credential, None)
        kept = _Kept(principal, item_id, origin and normal_origin(origin), sealed)
        await self.store.put(_key(value), kept.written(), seconds)
        self.counts.made += 1
        return Ticket(value, math.floor(now + seconds))

    async def use(self, value: str, *, item_id: str | None, origins: Sequence[str]) -> Principal:
        """Return the caller a ticket was issued to, as `redeem` does."""
        redeemed = await self.redeem(value, item_id=item_id, origins=origins)
        return redeemed.principal

    async def redeem(self, value: str, *, item_id: str | None, origins: Sequence[str]) -> Redeemed:
        """Return what a ticket stands for, once; InvalidTicket if it is not valid here.

        `item_id` is the item it is presented for, `origins` are the Origin headers it came with. A
        ticket in the wrong place is spent all the same: somebody who should not have it has seen
        it, or it is about to be tried elsewhere.
        """
        if _TICKET.fullmatch(value) is None:
            raise InvalidTicket("it is not 43 characters of base64url")  # spares the store
        content = await self.store.take(_key(value))
        if content is None:
            raise InvalidTicket("it is unknown, used or expired")
        kept = _Kept.read(content)
        self.allowances.release(kept.principal.identity)
        if kept.item_id not in (None, item_id):
            raise InvalidTicket(f"it was made for the item {kept.item_id!r}")
        if kept.origin is not None and list(map(normal_origin, origins)) != [kept.origin]:
            raise InvalidTicket(f"it was made for the origin {kept.origin!r}")
        if self.clock() - kept.principal.expires_at >= self.leeway:
            raise InvalidTicket("its token has expired")
        self.counts.used += 1
        return Redeemed(kept.principal, kept.opened(value))


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a ticket stands for: a caller, and where the ticket is valid."""

    principal: Principal
    item_id: str | None
    origin: str | None
    sealed: bytes | None = None  # a credential

    @classmethod
    def read(cls, content: bytes) -> _Kept:
        """Parse what `written` wrote; an entry of another version is refused, not guessed at."""
        try:
            kept = json.loads(content)
            caller = kept["caller"]
            rights = ScopeSet.of_claims(ADMIN if kept["admin"] else "", kept["items"])
            claims = cast("Mapping[str, object]", frozen(kept["claims"]))
            principal = Principal(
                rights=rights, claims=claims, **{name: caller[name] for name in _CALLER}
            )
            sealed = None if kept["sealed"] is None else bytes.fromhex(kept["sealed"])
            return cls(principal, kept["item"], kept["origin"], sealed)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidTicket("the store holds something else for it") from error

    def written(self) -> bytes:
        """Return it as bytes, with the rights: they need not be what the claims say."""
        principal = self.principal
        content = {
            "caller": {name: getattr(principal, name) for name in _CALLER},
            "items": principal.rights.as_items_claim(),
            "admin": principal.rights.admin,
            "claims": principal.claims,
            "item": self.item_id,
            "origin": self.origin,
            "sealed": None if self.sealed is None else self.sealed.hex(),
        }
        return json.dumps(content, default=_thawed, separators=(",", ":")).encode()

    def opened(self, value: str) -> bytes | None:
        """Return the credential that was kept with a ticket."""
        if self.sealed is None:
            return None
        try:
            return _cipher(value).decrypt(NONCE, self.sealed, None)
        except InvalidTag as error:
            raise InvalidTicket("the store holds another credential for it") from error


def _thawed(value: object) -> object:
    """Return a dict for a read-only mapping, which the JSON encoder does not accept."""
    if isinstance(value, MappingProxyType):
        return dict(cast("Mapping[str, object]", value))
    raise TypeError(f"a claim holds a {type(value).__name__}, which is no JSON")


def _cipher(value: str) -> AESGCM:
    """Return the cipher of one ticket's credential; the store never has its key."""
    return AESGCM(hmac.digest(value.encode(), b"itemwire ticket credential", "sha256"))


def _key(value: str) -> str:
    """Return the digest that stands for a ticket: a reader of the store cannot use it."""
    return f"ticket:{sha256(value.encode()).hexdigest()}"
