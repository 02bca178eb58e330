"""Gives a connection a new token before the old one ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from itemwire.client.backoff import Backoff
from itemwire.client.clock import ClientClock, Limit, TimerHandle, pause
from itemwire.client.envelopes import Incoming
from itemwire.client.errors import NotConnected, Unauthorized
from itemwire.client.link import Link
from itemwire.client.token_source import TokenRequest, TokenSource

PAUSE_SECONDS: Final = 1.0
"""The first pause after a refresh that failed."""

LEAD_SECONDS: Final = 60.0
"""How long before its end a token is renewed, or half its time where that is less."""


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
        self._timer: TimerHandle | None = None
        self._offset: float | None = None

    @property
    def has_source(self) -> bool:
        """Return whether there is a function that gives new tokens."""
        return self._source.gives_new_ones

    def set_server_time(self, server_time: float | None) -> None:
        """Take the server's clock for what it says of ends: this computer's may be wrong."""
        self._offset = None if server_time is None else server_time - self._clock.unix()

    def seconds_until(self, moment: float) -> float:
        """Return how long it is to a moment of the server's clock."""
        return moment - (self._clock.unix() + (self._offset or 0.0))

    def expect(self, link: Link, expires_at: float | None) -> None:
        """Refresh in time, whether the server warns or not; one that tells no time will."""
        self._forget_timer()
        if self._offset is None or expires_at is None:
            return
        left = self.seconds_until(expires_at)
        wait = left - min(LEAD_SECONDS, left / 2) if left > 0 else PAUSE_SECONDS
        self._timer = self._clock.call_later(wait, lambda: self.begin(link, expires_at))

    def begin(self, link: Link, expires_at: float) -> None:
        """Refresh the connection, unless that is under way."""
        if self._task is None and self._source.gives_new_ones:
            self._task = asyncio.ensure_future(self._run(link, self.seconds_until(expires_at)))

    def stop(self) -> None:
        """Ask no more: the connection is gone, and an answer would come too late."""
        self._forget_timer()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _run(self, link: Link, seconds: float) -> None:
        backoff = Backoff(PAUSE_SECONDS, cap=10 * PAUSE_SECONDS)
        end = self._clock.monotonic() + seconds
        attempt = 0
        while attempt == 0 or self._clock.monotonic() < end:  # the clock may be set since `hello`
            attempt += 1
            if await self._is_last(self._refresh(link, attempt)):
                break
            left = end - self._clock.monotonic()
            await pause(self._clock, min(backoff.next_wait(), max(left, 0.0)), asyncio.Event())
        self._task = None

    async def _refresh(self, link: Link, attempt: int) -> None:
        token = await self._source.get(TokenRequest("expiring", attempt))
        async with Limit(self._clock, self._seconds):
            reply = await link.start({"type": "refresh", "token": token}, self._refreshed)
        if reply.server_time is not None:
            self.set_server_time(reply.server_time)
        self.expect(link, reply.expires_at)

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
