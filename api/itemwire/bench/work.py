"""What all measures share: the load, the stopwatch, and progress reports."""

import contextlib
import gc
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

from itemwire.bench.processor import ServerClock

WARM_UP_MESSAGES: Final = 50
BETWEEN_WINDOWS: Final = 0.05  # duplicates may come late


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
    """After this time without any delivery, the missing messages count as lost."""

    pid: int | None = None
    """The server's process on this machine, whose processor time is measured as well."""


def silent(_text: str) -> None:
    """Report no progress."""


Progress = Callable[[str], None]
"""Called with a line of text at each step of a measure."""


class Stopwatch:
    """Measures elapsed time, and how much of it this process used the processor, and a server."""

    def __init__(self, pid: int | None = None) -> None:
        self.server = ServerClock(pid)
        self.start = time.perf_counter_ns()
        self._computed = time.process_time()

    def seconds(self, end: int) -> float:
        """Return the seconds from the start to an end (`perf_counter_ns`), never 0."""
        return max(end - self.start, 1) / 1e9

    def busy(self) -> float:
        """Return the share of the time until now in which this process used the processor."""
        computed = time.process_time() - self._computed
        return computed / self.seconds(time.perf_counter_ns())


@contextlib.contextmanager
def no_garbage_collection() -> Generator[None]:
    """Suspend garbage collection, which would visit thousands of sockets.

    That is safe because received messages form no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
