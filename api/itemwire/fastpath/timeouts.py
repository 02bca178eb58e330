"""One timer for all sockets that wait equally long."""

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

T = TypeVar("T")

WAKES: Final = 100  # a period at most: what is due within a hundredth of it is done together
AT_ONCE: Final = 500  # then others get their turn


class Clock(Protocol):
    """As much of an event loop as a timer needs."""

    def time(self) -> float:
        """Tell the time, in seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> object:
        """Call something at that time."""
        ...


class Timeout(Generic[T]):
    """Things that each have the same time, so the first to come is the first whose time is up.

    A timer a socket would be an object, a closure and a place in the loop's heap each. A thing's
    turn comes when its time is up, or at most a hundredth later.
    """

    def __init__(self, loop: Clock, seconds: float | None, is_up: Callable[[T], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._is_up = is_up
        self._due: dict[T, float] = {}
        self._timer: object = None

    def __contains__(self, thing: T) -> bool:
        return thing in self._due

    @property
    def runs(self) -> bool:
        """Tell whether there is a time at all."""
        return self._seconds is not None

    def start(self, thing: T) -> None:
        """Give a thing its time, from now on, unless it has it already."""
        if self._seconds is None or thing in self._due:
            return
        self._due[thing] = due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._act)

    def stop(self, thing: T) -> bool:
        """Forget a thing; False: it had no time running."""
        return self._due.pop(thing, None) is not None

    def _act(self) -> None:
        now = self._loop.time()
        self._timer = None
        for thing in [thing for thing, _ in zip(self._due, range(AT_ONCE), strict=False)]:
            if self._due.get(thing, 0) > now:
                break
            if self._due.pop(thing, None) is not None:
                self._is_up(thing)
        if self._due and self._timer is None:
            first = next(iter(self._due.values()))
            soonest = now + (self._seconds or 0) / WAKES
            self._timer = self._loop.call_at(
                now if first <= now else max(first, soonest), self._act
            )
