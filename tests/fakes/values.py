"""The values that tests of the core share: one item, its names, a still clock."""

from __future__ import annotations

from typing import Final

from itemwire.channels.limits.bounds import Limits
from itemwire.engines.base import Bounds
from itemwire.messages import NO_EXTRAS, Draft, Extras, Payload
from itemwire.wire import CODECS
from itemwire_auth.principal import Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action

NOW: Final = 1_800_000_000.0
ITEM: Final = "42"
CHANNEL: Final = "item:42"
EVERYTHING: Final = frozenset(Action)
JSON: Final = CODECS["itemwire.v1.json"]
MSGPACK: Final = CODECS["itemwire.v1.msgpack"]
PLAIN: Final = CODECS["itemwire.v1.plain"]
BOUNDS: Final = Bounds(messages=100, bytes=100_000, seconds=300)
LIMITS: Final = Limits(
    max_message_bytes=10_000, outbox_bytes=10_000, history_limit=50, ping_interval=20
)


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def principal(subject: str = "alice", expires_at: int = int(NOW) + 3600) -> Principal:
    """Make a verified caller."""
    return Principal(None, subject, ScopeSet(), expires_at)


def draft(data: Payload = "hello", key: str | None = None, extras: Extras = NO_EXTRAS) -> Draft:
    """Make a message that has no place yet."""
    return Draft(ITEM, "alice", NOW, data, key, extras.meta, extras.end)
