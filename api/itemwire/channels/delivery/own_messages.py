"""Recognizes what a connection has published itself, where it is not to hear that."""

from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from itemwire.engines.storage_format import bytes_of
from itemwire.messages import Draft, Publication

OWN_SECONDS: Final = 10.0  # an engine has delivered it long before, or the delivery was lost

P = TypeVar("P", bound=Hashable)
Key = tuple[str, str | None, float, int, bytes]


class OwnMessages(Generic[P]):
    """The messages on their way to the engine that are not to reach their publishers.

    A message has no mark of the connection that published it, and needs none: on its own node it
    is the next one on the channel with the same sender, time and data.
    """

    def __init__(self) -> None:
        self.expected: dict[Key, deque[tuple[float, P]]] = {}  # the oldest first

    def add(self, channel: str, draft: Draft, publisher: P, now: float) -> None:
        """Expect a message; what did not come in ten seconds is forgotten."""
        self._forget(now)
        expected = self.expected.setdefault(_key_of(channel, draft), deque())
        expected.append((now + OWN_SECONDS, publisher))

    def publisher_of(self, channel: str, message: Publication) -> P | None:
        """Return who published a message, if it was expected; it is not expected any longer."""
        key = _key_of(channel, message)
        expected = self.expected.get(key)
        if expected is None:
            return None
        _, publisher = expected.popleft()
        if not expected:
            del self.expected[key]
        return publisher

    def _forget(self, now: float) -> None:
        while self.expected:
            key, expected = next(iter(self.expected.items()))
            if expected[-1][0] > now:
                return
            del self.expected[key]


def _key_of(channel: str, message: Draft | Publication) -> Key:
    return channel, message.sender, message.sent_at, *bytes_of(message.data)
