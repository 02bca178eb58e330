"""How much one connection may cost, and how long it may last."""

from dataclasses import dataclass
from typing import Final

from itemwire.channels.limits.slow_consumers import DISCONNECT_ALL, SlowConsumerPolicies


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds a connection lives within; what a client should know of them is in `welcome`."""

    max_message_bytes: int
    outbox_bytes: int
    history_limit: int  # messages in one answer, or replayed at a join
    ping_interval: float  # what the server in front does; told to clients, not done here
    max_items: int = 100  # on one socket
    presence_limit: int = 1000  # members of an item that are listed and announced
    presence_grace: float = 0  # seconds in which who was cut off may come back unnoticed
    slow_consumers: SlowConsumerPolicies = DISCONNECT_ALL
    max_in_flight: int = 10_000  # publishes of the node that the engine has not answered
    max_in_flight_bytes: int = 67_108_864  # of their payloads
    max_channels: int = 0  # heard on this node; of this and the next, 0 sets no limit
    max_subscribers: int = 0  # of one channel on this node, and so its entries in the presence


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a connection may last, in seconds of the wall's clock, as for tokens."""

    grace: float = 0  # after its token has expired
    warning: int = 0  # ahead of that; 0: none is given
    session: int = 0  # from its start, however often it is refreshed; 0: as long as it likes


BY_TOKEN: Final = Lifetime()  # as long as its token, and not a word about it


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What one connection may ask a second; 0 sets no limit.

    `subject_factor` times as much is for all connections of one subject on this node together.
    `join_burst` is what may be joined at once, if that is more than two seconds' worth: who comes
    back joins again whatever it heard.
    """

    publish: float = 0
    join: float = 0
    history: float = 0
    request: float = 0  # all that is none of these
    bytes: float = 0  # of all frames
    subject_factor: float = 0
    join_burst: int = 0
