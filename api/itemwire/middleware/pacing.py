"""Lets requests proceed a few at a time, so that open sockets are served in between."""

import asyncio
from collections import deque
from typing import Final

AT_ONCE: Final = 8  # per turn of the event loop: 2 ms, where a thousand would take 250 ms


class Pacing:
    """Lets so many requests start per turn of the event loop, first come first served.

    When all clients reconnect at once, or a stranger keeps hundreds of connections full of
    requests, the loop would otherwise start all of them before it looks at an open socket again. No
    request is refused here, and while there are few, none of them waits.

    `_is_counting` is True from the first request of a turn until a turn passes without any: while
    it is False, nothing is scheduled.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once
        self._is_counting = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Return when the request may start: at once if few did in this turn."""
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
        """Begin the next turn with the requests that wait."""
        self._left = self._at_once
        while self._waiting and self._left:
            waiting = self._waiting.popleft()
            if not waiting.done():  # a request whose client is gone was cancelled
                waiting.set_result(None)
                self._left -= 1
        self._is_counting = self._left < self._at_once
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._go_on)
