"""What a session knows of how rights are worked out: it asks, and is answered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from itemwire.close_reasons import QUERY_INVALID, CloseReason, Retry
from itemwire_auth.principal import Grant, Principal


@dataclass(frozen=True, slots=True)
class Denied:
    """No rights here; `principal` is whose the token is, where that much is known."""

    reason: CloseReason
    principal: Principal | None = None

    @property
    def is_final(self) -> bool:
        """Tell whether the caller may not be here; else nothing is known that was not before.

        `query_invalid`: a dependency wants what only a request has. That is no verdict.
        """
        return self.reason.retry is Retry.NEVER and self.reason is not QUERY_INVALID

    @property
    def is_temporary(self) -> bool:
        """Tell whether the same token may do better later."""
        return self.reason.retry in (Retry.LATER, Retry.NOW)


Verdict = Grant | Denied

Reauthorize = Callable[[str, Callable[[Verdict], None]], None]
"""Works out what a token allows on a socket: answers once, on the event loop, in bounded time."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """Whom a new token names, and what it allows on each item that was asked about."""

    principal: Principal
    verdicts: Mapping[str, Verdict]


class Rights(Protocol):
    """Works out what the caller of a socket with many items may do; answers as `Reauthorize`."""

    def of_item(
        self, principal: Principal, item_id: str, answer: Callable[[Verdict], None]
    ) -> None:
        """Answer what a caller who is verified already may do with an item."""
        ...

    def renew(
        self, token: str, items: Sequence[str], answer: Callable[[Renewal | Denied], None]
    ) -> None:
        """Answer what another token allows, on the socket and on each of the items."""
        ...
