"""What a program may choose for a client."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from itemwire.client.envelopes import FORMS
from itemwire.client.sockets import Proxy

HEARTBEATS: Final = (5, 300)
"""The seconds between heartbeats that a server grants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """Limits and choices; all times are in seconds.

    `timeout` bounds a handshake, a request and the token source. After `silence` without a frame
    the server is asked for a sign of life. `queue` is how many requests may wait while the client
    reconnects. `buffer` is how many messages of an item wait for who reads it.
    """

    timeout: float = 10.0
    silence: float = 45.0
    queue: int = 0
    buffer: int = 1000
    codec: str = "json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    tls: ssl.SSLContext | None = None
    proxy: Proxy = True

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.timeout <= 0 or self.silence <= 0 or self.buffer < 1 or self.queue < 0:
            raise ValueError("timeout, silence and buffer must be positive, queue not negative")
        if self.codec not in FORMS:
            raise ValueError(f"codec must be one of {', '.join(FORMS)}")

    @property
    def heartbeat(self) -> int:
        """Return how often a server that can is asked to say that it is there."""
        least, most = HEARTBEATS
        return max(least, min(most, int(self.silence / 2)))
