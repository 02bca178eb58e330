"""How a session asks for its rights to be worked out again, and the possible answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from itemwire.close_reasons import QUERY_INVALID, CloseReason, Retry
from itemwire_auth.principal import Grant, Principal


@dataclass(frozen=True, slots=True)
class Denied:
    """The answer that there are no rights; `principal` is the token's caller, if known."""

    reason: CloseReason
    principal: Principal | None = None

    @property
    def is_final(self) -> bool:
        """Return whether the caller may not be here, now and with this token.

        If not, nothing is known that was not known before. `query_invalid` is not final: a
        dependency wanted something that only a request has, and judged nobody.
        """
        return self.reason.retry is Retry.NEVER and self.reason is not QUERY_INVALID

    @property
    def is_temporary(self) -> bool:
        """Return whether the same token may be accepted later."""
        return self.reason.is_temporary


Verdict = Grant | Denied

Reauthorize = Callable[[str, Callable[[Verdict], None]], None]
"""Works out what a token allows on a socket: answers once, on the event loop, in bounded time."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The caller of a new token, and the verdict on each item that was asked about."""

    principal: Principal
    verdicts: Mapping[str, Verdict]


class ItemRights(Protocol):
    """Works out what the caller of a socket with many items may do.

    Each answer is given once, on the event loop, and says `overloaded` if it is not found until
    it is due. So requests that wait for each other are all answered in bounded time.
    """

    def due(self) -> float:
        """Return when the answer to what a client asks now is due."""
        ...

    def of_item(
        self, principal: Principal, item_id: str, due: float, answer: Callable[[Verdict], None]
    ) -> None:
        """Answer what a verified caller may do with an item."""
        ...

    def renew(
        self,
        token: str,
        items: Sequence[str],
        due: float,
        answer: Callable[[Renewal | Denied], None],
    ) -> None:
        """Answer what another token allows, on the socket and on each of the items."""
        ...
