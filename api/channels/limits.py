"""How much one connection may cost, and how long it may last."""

from dataclasses import dataclass
from typing import Final

from api.channels.slow_readers import DISCONNECT_ALL, SlowReaders


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds a connection lives within; what a client should know of them is in `welcome`."""

    max_message_bytes: int
    outbox_bytes: int
    history_limit: int  # messages in one answer, or replayed at a join
    ping_interval: float  # what the server in front does; told to clients, not done here
    items: int = 100  # on one socket
    presence_limit: int = 1000  # members of an item that are listed and announced
    presence_grace: float = 0  # seconds in which who was cut off may come back unnoticed
    slow_readers: SlowReaders = DISCONNECT_ALL
    unanswered: int = 10_000  # publishes of the node that the engine has not answered
    unanswered_bytes: int = 67_108_864  # of their payloads


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a connection may last, in seconds of the wall's clock, as for tokens."""

    grace: float = 0  # after its token has expired
    warning: int = 0  # ahead of that; 0: none is given
    session: int = 0  # from its start, however often it is refreshed; 0: as long as it likes


BY_TOKEN: Final = Lifetime()  # as long as its token, and not a word about it
