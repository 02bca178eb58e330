"""What a session asks of the application around it: replies, and checks of messages."""

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import UnsetType

from itemwire.channels.connection import Subscription
from itemwire.close_reasons import CloseReason
from itemwire.messages import Payload


class Host(Protocol):
    """The application around the channels, as one socket's session knows it.

    Each answer is given once, on the event loop, in bounded time, and perhaps before the call
    returns. What one socket asks is worked on in the order in which it asks. Once its connection
    has ended, nothing more is worked on and the answer says `overloaded`.
    """

    def reply_to(
        self,
        subscription: Subscription,
        name: str,
        data: Payload | UnsetType,
        answer: Callable[[msgspec.Raw | CloseReason], None],
    ) -> None:
        """Answer a request that a subscriber sends the application, or why it is refused."""
        ...

    def checks(self, item_id: str) -> bool:
        """Return whether `check` has to be asked about what clients publish to an item."""
        ...

    def check(
        self,
        subscription: Subscription,
        data: Payload,
        answer: Callable[[Payload | CloseReason], None],
    ) -> None:
        """Answer what is to be published in place of a message, or why it is refused."""
        ...
