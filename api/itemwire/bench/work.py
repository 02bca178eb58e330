"""What all measures have in common: how much, for how long, and what is told meanwhile."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

WARM_UP_MESSAGES: Final = 50
BETWEEN_WINDOWS: Final = 0.05  # what comes twice may come late


@dataclass(frozen=True, slots=True)
class Load:
    """How much is put on the server."""

    connections: int
    items: int = 1
    size: int = 128
    seconds: float = 3.0
    repeat: int = 1
    warm_up: int = WARM_UP_MESSAGES
    stall_seconds: float = 5.0
    """Nothing was delivered for so long: what is awaited was lost."""


def silent(_text: str) -> None:
    """Tell nobody how far it is."""


Progress = Callable[[str], None]


class Clock:
    """Measures a stretch of time, and how much of it this process computed."""

    def __init__(self) -> None:
        self.start = time.perf_counter_ns()
        self._computed = time.process_time()

    def seconds(self, end: int) -> float:
        """Give the time from the start to an end, never 0."""
        return max(end - self.start, 1) / 1e9

    def busy(self) -> float:
        """Give the share of the time until now that this process computed."""
        computed = time.process_time() - self._computed
        return computed / self.seconds(time.perf_counter_ns())


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector from walking thousands of sockets; what is received has no cycles."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
