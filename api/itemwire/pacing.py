"""Lets work begin a little at a time, so that open sockets are served in between."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import thread_time
from typing import Final

AT_ONCE: Final = 4  # requests per turn of the event loop: 1 ms, where a thousand would take 250 ms
LONG_TURN: Final = 0.001  # seconds of this thread's processor time, after which half as many begin


class Pacing:
    """Gives out so many places in each turn of the event loop, first come first served.

    When all clients reconnect at once, or a stranger keeps hundreds of connections full of
    requests, the loop would otherwise do all of that before it looks at an open socket again.
    Nothing is refused here, and while there is little to do, nothing waits. After a turn that took
    longer than `LONG_TURN`, only half as many places are free: some requests cost more than others.

    `_loop` is set from the first place that is taken until a turn passes without any: while it is
    None, nothing is scheduled.
    """

    __slots__ = ("_at_once", "_began", "_clock", "_left", "_loop", "_waiting")

    def __init__(self, at_once: int = AT_ONCE, *, clock: Callable[[], float] = thread_time) -> None:
        self._at_once = at_once
        self._clock = clock
        self._left = at_once
        self._began = 0.0  # this turn, in processor time
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[Callable[[], object]] = deque()

    def take(self) -> bool:
        """Take a place in this turn and return True, if one is left and nobody waits for it."""
        self._count()
        if not self._left or self._waiting:
            return False
        self._left -= 1
        return True

    def submit(self, begin: Callable[[], object]) -> None:
        """Call a function as soon as there is a place for it, but not before this returns.

        It returns False if there was nothing to do: then it has taken no place.
        """
        self._count()
        self._waiting.append(begin)

    async def turn(self) -> None:
        """Return in the turn in which there is a place: at once if one is left."""
        if self.take():
            return
        waiting = asyncio.get_running_loop().create_future()

        def wake() -> bool:
            if waiting.done():  # who waited was cancelled: its client is gone
                return False
            waiting.set_result(None)
            return True

        self.submit(wake)
        await waiting

    def _count(self) -> None:
        """See to it that the next turn of the running loop begins with all places free."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # an earlier loop may have been closed with a call left to make
            self._loop, self._left, self._began = loop, self._at_once, self._clock()
            self._waiting.clear()
            loop.call_soon(self._go_on, loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a turn: its places are for who waits."""
        now = self._clock()
        was_long = now - self._began > LONG_TURN
        self._began = now
        places = self._left = max(1, self._at_once // 2) if was_long else self._at_once
        try:
            while self._waiting and self._left:
                self._left -= 1
                if self._waiting.popleft()() is False:
                    self._left += 1
        finally:  # what fails must not keep the others waiting
            if self._left < places or self._waiting:
                loop.call_soon(self._go_on, loop)
            else:
                self._loop = None
