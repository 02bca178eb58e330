"""What a node takes from the world: the time, chance, ids and the event loop."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Final

from itemwire.channels.timers import LoopTimers, Timers

ID_LENGTH: Final = 12  # characters of base64, which are 9 bytes
DRAWN_AT_ONCE: Final = 64  # ids: to ask the kernel for each takes a handshake 3 µs

_drawn: list[str] = []


def new_connection_id() -> str:
    """Return an id that no other connection of any node has."""
    try:
        return _drawn.pop()  # one operation: any thread may ask
    except IndexError:
        text = token_urlsafe(DRAWN_AT_ONCE * ID_LENGTH * 3 // 4)
        ids = [text[at : at + ID_LENGTH] for at in range(0, len(text), ID_LENGTH)]
        _drawn.extend(ids[1:])
        return ids[0]


def _forget_drawn() -> None:
    """Draw anew in a forked process: it would give out the ids of its parent."""
    _drawn.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_drawn)


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
