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

Offered = str | Principal
"""What rights are worked out for: another token, or the caller as it is known, once more."""

Reauthorize = Callable[[Offered, Callable[[Verdict], None]], None]
"""Works out what is allowed on a socket: answers once, on the event loop, in bounded time."""


def keep_nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The caller of a new token, and the verdict on each item that was asked about.

    `keep` is called where the token is taken: from then on it alone speaks for the caller.
    """

    principal: Principal
    verdicts: Mapping[str, Verdict]
    keep: Callable[[], None] = keep_nothing


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
        offered: Offered,
        items: Sequence[str],
        due: float,
        answer: Callable[[Renewal | Denied], None],
    ) -> None:
        """Answer what is allowed on the socket and on each of the items."""
        ...
