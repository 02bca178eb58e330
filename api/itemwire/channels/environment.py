"""What a node takes from the world: the time, chance, ids and the event loop."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_urlsafe

from itemwire.channels.timers import LoopTimers, Timers


def new_connection_id() -> str:
    """Return an id that no other connection of any node has."""
    return token_urlsafe(9)


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything a node takes from outside that is not the same at each call."""

    clock: Callable[[], float] = time.time  # Unix time
    random: Callable[[], float] = random.random  # from 0 on, below 1
    new_id: Callable[[], str] = new_connection_id
    timers: Timers = field(default_factory=LoopTimers)

    def now_in_ms(self) -> float:
        """Return the Unix time in seconds, rounded down to whole milliseconds."""
        return int(self.clock() * 1000) / 1000
