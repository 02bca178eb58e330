"""What a session knows of how rights are worked out again: it asks, and is answered."""

from collections.abc import Callable
from dataclasses import dataclass

from api.closing import QUERY_INVALID, CloseReason, Retry
from auth.principal import Grant, Principal


@dataclass(frozen=True, slots=True)
class Denied:
    """A token that gives no rights here; `principal` is whose it is, where that much is known."""

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
