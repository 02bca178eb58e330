"""Lets handshakes go on a few at a time, so that who is served already gets its turns."""

import asyncio
from collections import deque
from typing import Final

AT_ONCE: Final = 8  # a turn of the event loop: 2 ms, where a thousand at once would be 250


class Pacing:
    """Gives so many a turn of the event loop, in the order in which they came.

    When everybody comes back at once, the loop would begin all their handshakes before it looks at
    an open socket again. Nobody is refused here, and nobody waits while there are few.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once
        self._is_counting = False  # until the turn is over
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Go on, at once if few do in this turn."""
        loop = asyncio.get_running_loop()
        if not self._is_counting:
            self._is_counting = True
            loop.call_soon(self._go_on)
        if self._left and not self._waiting:
            self._left -= 1
            return
        waiting = loop.create_future()
        self._waiting.append(waiting)
        await waiting

    def _go_on(self) -> None:
        """Begin the next turn, with those who wait."""
        self._left = self._at_once
        while self._waiting and self._left:
            one = self._waiting.popleft()
            if not one.done():  # its connection may be gone
                one.set_result(None)
                self._left -= 1
        self._is_counting = self._left < self._at_once
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._go_on)
