"""What a rule of the application changes for the items of its pattern."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from itemwire.channels.limits.slow_consumers import SlowConsumerPolicy
from itemwire.close_reasons import MESSAGE_TOO_BIG, PAYLOAD_INVALID, CloseReason
from itemwire.engines.base import Bounds, EngineError
from itemwire.messages import Payload, payload_size

PresenceMode = Literal["on", "counts", "off"]
"""Whether members are listed and announced, only counted, or not known at all."""

Check = Callable[[Payload], str | None]
"""Returns what is wrong with a payload, with the path to it; None if it fits its model."""


class MessageRefused(EngineError, ValueError):
    """A message does not fit the rules of its item; publishing it again does not help."""

    def __init__(self, reason: CloseReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ItemRules:
    """The rules of an item; what is None is as the settings say."""

    check: Check | None = None
    history: int | None = None  # messages; 0: they are ephemeral
    history_bytes: int | None = None
    max_age: float | None = None  # seconds
    presence: PresenceMode = "on"
    slow_consumers: SlowConsumerPolicy | None = None
    max_message_bytes: int | None = None
    echo: bool = True  # whether a connection gets what it publishes itself
    retain: float = 0  # for how many seconds the last message is kept for who comes late; 0: not
    publish_rate: float = 0  # messages a second of one caller; 0: as the settings say
    bytes_rate: float = 0
    anonymous: bool = False  # whether who has no credential may subscribe

    @property
    def is_ephemeral(self) -> bool:
        """Return whether messages are only delivered: not stored, and without an offset."""
        return self.history == 0 and not self.retain

    @property
    def has_rates(self) -> bool:
        """Return whether one caller may publish only so much to these items together."""
        return bool(self.publish_rate or self.bytes_rate)

    def bounds(self, default: Bounds) -> Bounds:
        """Return how much history is kept, where the settings say `default`."""
        own = (self.history, self.history_bytes, self.max_age)
        if own == (None, None, None) and not self.retain:
            return default
        return Bounds(
            default.messages if self.history is None else self.history,
            default.bytes if self.history_bytes is None else self.history_bytes,
            default.seconds if self.max_age is None else self.max_age,
            default.total_bytes,
            self.retain,
        )

    def most_read(self, default: int) -> int:
        """Return how many messages are read at once: all that is kept, or the `default`."""
        return default if self.history is None else max(self.history, default)

    def refusal_of(self, data: Payload) -> MessageRefused | None:
        """Return why a message is refused, or None if it fits."""
        most = self.max_message_bytes
        if most is not None and payload_size(data) > most:
            return MessageRefused(MESSAGE_TOO_BIG, f"data: larger than {most} bytes")
        fault = None if self.check is None else self.check(data)
        return None if fault is None else MessageRefused(PAYLOAD_INVALID, fault)


NO_RULES: Final = ItemRules()

RulesOf = Callable[[str], ItemRules]
"""Returns the rules of an item, at the cost of a look into a cache."""


def no_rules(_item_id: str) -> ItemRules:
    """Return the rules of an item where there are none."""
    return NO_RULES
