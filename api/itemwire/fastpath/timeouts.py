"""One event-loop timer for many things that all wait for the same time."""

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

T = TypeVar("T")

MAX_WAKE_UPS: Final = 100  # per period: all that falls due within 1 % of it is handled together
MAX_BATCH: Final = 500  # per wake-up; then other callbacks of the event loop get their turn


class TimerLoop(Protocol):
    """The two methods of an event loop that a timer needs."""

    def time(self) -> float:
        """Return the loop's monotonic time in seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> object:
        """Schedule a callback for a time of this loop's clock."""
        ...


class Timeout(Generic[T]):
    """Calls `expire(thing)` for each thing that was started and not stopped for `seconds`.

    All things wait equally long, so they expire in the order in which they were started, and a dict
    and a single timer of the loop are enough. One timer per socket would cost each socket a handle,
    a closure and an entry in the loop's heap. A thing expires at most one per cent late.
    """

    def __init__(self, loop: TimerLoop, seconds: float | None, expire: Callable[[T], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._expire = expire
        self._due: dict[T, float] = {}
        self._timer: object = None

    def __contains__(self, thing: T) -> bool:
        return thing in self._due

    @property
    def runs(self) -> bool:
        """Return whether there is a time limit at all."""
        return self._seconds is not None

    def start(self, thing: T) -> None:
        """Start the time of a thing, unless it is running already."""
        if self._seconds is None or thing in self._due:
            return
        self._due[thing] = due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._wake_up)

    def stop(self, thing: T) -> bool:
        """Stop the time of a thing; return False if it was not running."""
        return self._due.pop(thing, None) is not None

    def _wake_up(self) -> None:
        now = self._loop.time()
        self._timer = None
        # A copy: `expire` may start and stop things, these too.
        for thing in [thing for thing, _ in zip(self._due, range(MAX_BATCH), strict=False)]:
            if self._due.get(thing, 0) > now:
                break
            if self._due.pop(thing, None) is not None:
                self._expire(thing)
        if self._due and self._timer is None:
            first = next(iter(self._due.values()))
            soonest = now + (self._seconds or 0) / MAX_WAKE_UPS
            self._timer = self._loop.call_at(
                now if first <= now else max(first, soonest), self._wake_up
            )
