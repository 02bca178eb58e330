"""How much one connection may cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds a connection lives within; what a client should know of them is in `welcome`."""

    max_message_bytes: int
    outbox_bytes: int
    history_limit: int  # messages in one answer, or replayed at a join
    ping_interval: float  # what the server in front does; told to clients, not done here
