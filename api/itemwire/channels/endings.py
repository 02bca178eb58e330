"""What the reason of an end means for its connection and for when the client may return."""

from collections.abc import Callable
from typing import Final

from itemwire.close_reasons import (
    CLOSE_REASONS,
    DRAINING,
    MESSAGES_LOST,
    SLOW_CONSUMER,
    TOKEN_EXPIRED,
    TOKEN_REVOKED,
    CloseReason,
    Retry,
)

# What waits is not sent any more: one client does not read it, the others may not have it.
WITHOUT_FLUSH: Final = frozenset({SLOW_CONSUMER, TOKEN_EXPIRED, TOKEN_REVOKED})

# After these ends the same client may be back at once, with the same token.
MAY_RETURN: Final = frozenset({Retry.NOW, Retry.LATER})

# A client says goodbye with a close frame of code 1000, or of none as a browser's `close()` sends
# it. 1001 is no goodbye: a page that is reloaded sends it.
GOODBYES: Final = frozenset({1000, 1005})

# From, to: clients that are ended together come back at random moments in between, not all at once.
RETRY_WINDOWS_MS: Final = {
    **{row: (1000, 5000) for row in CLOSE_REASONS.values() if row.retry is Retry.LATER},
    DRAINING: (0, 2000),
    MESSAGES_LOST: (0, 2000),
}
AT_ONCE_MS: Final = (0, 0)


def retry_after_ms(reason: CloseReason, random: Callable[[], float]) -> int:
    """Return a random moment, within the window of a reason, for the client to come back at."""
    start, end = RETRY_WINDOWS_MS.get(reason, AT_ONCE_MS)
    return start + int(random() * (end - start))
