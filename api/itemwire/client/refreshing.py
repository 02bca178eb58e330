"""Gives a connection a new token before the old one ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from itemwire.client.backoff import Backoff
from itemwire.client.clock import ClientClock, Limit, pause
from itemwire.client.envelopes import Incoming
from itemwire.client.errors import NotConnected, Unauthorized
from itemwire.client.link import Link
from itemwire.client.token_source import TokenRequest, TokenSource

PAUSE_SECONDS: Final = 1.0
"""The first pause after a refresh that failed."""


class Refresher:
    """Runs at most one refresh, and repeats it until it worked or the token has ended."""

    def __init__(
        self,
        source: TokenSource,
        clock: ClientClock,
        seconds: float,
        *,
        refreshed: Callable[[Incoming], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._source = source
        self._clock = clock
        self._seconds = seconds
        self._refreshed = refreshed
        self._failed = failed
        self._task: asyncio.Task[None] | None = None
        self._offset = 0.0

    @property
    def has_source(self) -> bool:
        """Return whether there is a function that gives new tokens."""
        return self._source.gives_new_ones

    def set_server_time(self, server_time: float | None) -> None:
        """Take the server's clock for what it says of ends: this computer's may be wrong."""
        self._offset = 0.0 if server_time is None else server_time - self._clock.unix()

    def seconds_until(self, moment: float) -> float:
        """Return how long it is to a moment of the server's clock."""
        return moment - (self._clock.unix() + self._offset)

    def begin(self, link: Link, expires_at: float) -> None:
        """Refresh the connection, unless that is under way."""
        if self._task is None and self._source.gives_new_ones:
            self._task = asyncio.ensure_future(self._run(link, self.seconds_until(expires_at)))

    def stop(self) -> None:
        """Ask no more: the connection is gone, and an answer would come too late."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _run(self, link: Link, seconds: float) -> None:
        backoff = Backoff(PAUSE_SECONDS, cap=10 * PAUSE_SECONDS)
        end = self._clock.monotonic() + seconds
        attempt = 0
        while self._clock.monotonic() < end:
            attempt += 1
            if await self._is_last(self._refresh(link, attempt)):
                break
            left = end - self._clock.monotonic()
            await pause(self._clock, min(backoff.next_wait(), max(left, 0.0)), asyncio.Event())
        self._task = None

    async def _refresh(self, link: Link, attempt: int) -> None:
        token = await self._source.get(TokenRequest("expiring", attempt))
        async with Limit(self._clock, self._seconds):
            await link.start({"type": "refresh", "token": token}, self._refreshed)

    async def _is_last(self, refresh: Awaitable[None]) -> bool:
        """Await a refresh, and report whether it is the last one."""
        try:
            await refresh
        except NotConnected:
            return False  # the end of the connection ends this, too
        except Unauthorized as error:
            self._failed(error)
            return True  # nobody is signed in: the connection may last as long as its token
        except Exception as error:  # noqa: BLE001 - the program's own function may raise anything
            self._failed(error)
            return False
        return True
