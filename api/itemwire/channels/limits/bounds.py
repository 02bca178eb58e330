"""How much a connection may cost, how often it may ask, and how long it may last."""

import math
from dataclasses import dataclass
from typing import Final, cast

from itemwire.channels.limits.slow_consumers import DISCONNECT_ALL, SlowConsumerPolicies

LEAST_RECHECK: Final = 1  # second between two questions about one caller


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of connections and channels on a node; `welcome` tells clients those they need."""

    max_message_bytes: int
    outbox_bytes: int
    history_limit: int  # messages in one answer, or replayed at a join, if a rule keeps no more
    ping_interval: float  # seconds; the server in front sends pings, clients are only told
    max_items: int = 100  # joined on one connection
    presence_limit: int = 1000  # members of a channel that are listed and announced
    presence_grace: float = 0  # seconds within which a lost client may return unnoticed
    slow_consumers: SlowConsumerPolicies = DISCONNECT_ALL
    max_in_flight: int = 10_000  # publishes of this node that the engine has not answered
    max_in_flight_bytes: int = 67_108_864  # their payloads
    max_channels: int = 0  # with a subscriber on this node; 0: no limit
    max_subscribers: int = 0  # of one channel on this node, who are its members; 0: no limit


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a connection may last, in seconds of Unix time, as tokens count it."""

    grace: float = 0  # after its token expired
    warning: int = 0  # before that; 0: no warning
    session: int = 0  # from its start, however often it is refreshed; 0: no limit


BY_TOKEN: Final = Lifetime()  # as long as its token, without a warning


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """How long connections of a node may last, in seconds.

    `leeway` is how far past its expiry a token is still accepted; a connection may stay as long.
    """

    lifetime: Lifetime = BY_TOKEN
    leeway: float = 0
    drain_seconds: float = 5
    recheck_interval: float = 0  # after which callers are asked about again; 0: never

    def __post_init__(self) -> None:
        """Refuse, by ValueError, an interval that would ask never, or always."""
        every = cast("object", self.recheck_interval)
        is_right = (
            isinstance(every, int | float)
            and not isinstance(every, bool)
            and (every == 0 or LEAST_RECHECK <= every < math.inf)
        )
        if not is_right:
            raise ValueError(
                f"recheck_interval={every!r} must be 0, for never, or at least "
                f"{LEAST_RECHECK} second"
            )


DEFAULTS: Final = NodeOptions()


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests per second of one connection; 0 sets no limit.

    All connections of one subject on this node share `subject_factor` times as much. `join_burst`
    joins may come at once, if that is more than two seconds' worth: a client that reconnects
    joins all of its items again. `deliveries` and `delivered_bytes` are of a subject: what it
    publishes counts once for each subscriber on this node.
    """

    publish: float = 0
    join: float = 0
    history: float = 0
    request: float = 0  # any other request
    bytes: float = 0  # of all frames together
    subject_factor: float = 0
    join_burst: int = 0
    deliveries: float = 0
    delivered_bytes: float = 0
