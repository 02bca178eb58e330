"""Keeps one connection up: a token, a handshake, its end, a wait, and again."""

import asyncio
import itertools
from typing import Final, Protocol

from typing_extensions import override

from itemwire.client.backoff import Backoff
from itemwire.client.clock import ClientClock, Limit, pause
from itemwire.client.endings import Ending
from itemwire.client.envelopes import FORMS, Incoming
from itemwire.client.errors import (
    MAX_TOKEN_VERDICTS,
    NEVER,
    TOKEN,
    ClientClosed,
    NotConnected,
    Refused,
)
from itemwire.client.link import Link, LinkListener
from itemwire.client.options import ClientLimits
from itemwire.client.sockets import (
    Connect,
    HandshakeDenied,
    SocketClosed,
    SocketRequest,
    socket_url,
)
from itemwire.client.token_source import TokenRequest, TokenSource
from itemwire.client.waiters import Waiters

IDLE: Final = "idle"
CONNECTING: Final = "connecting"
CONNECTED: Final = "connected"
RECONNECTING: Final = "reconnecting"
REFUSED: Final = "refused"
CLOSED: Final = "closed"


class ConnectorListener(LinkListener, Protocol):
    """Who is told of the connection: first what it means for items, then its state."""

    def link_up(self, link: Link) -> None:
        """Take note that a connection may be used."""
        ...

    def link_down(self, link: Link) -> None:
        """Take note that it may not be used any more."""
        ...

    def state_changed(self, state: str) -> None:
        """Take note of the new state; everything else is done."""
        ...


class Connector(LinkListener):
    """Runs one attempt after another in one task, so that no two connections ever overlap."""

    def __init__(
        self,
        url: str,
        options: ClientLimits,
        *,
        source: TokenSource,
        clock: ClientClock,
        connect: Connect,
        backoff: Backoff,
        listener: ConnectorListener,
    ) -> None:
        self._url = socket_url(url, hints=1, heartbeat=options.heartbeat)
        self._options = options
        self._source = source
        self._clock = clock
        self._connect = connect
        self._backoff = backoff
        self._listener = listener
        self._refs = itertools.count(1)
        self._task: asyncio.Task[None] | None = None
        self._current: Link | None = None
        self._wait_over = asyncio.Event()
        self._changed = Waiters()
        self.state = IDLE
        self.link: Link | None = None
        self.refusal: Refused | None = None

    def start(self) -> None:
        """Begin to connect, unless that is under way; one that was refused tries anew."""
        if self.state == CLOSED:
            raise ClientClosed("this client was closed: make a new one")
        if self._task is None:
            self.refusal = None
            self._set_state(CONNECTING)
            self._task = asyncio.ensure_future(self._run())

    def stop(self, state: str) -> "asyncio.Task[None] | None":
        """End the connection for good; return the task that still says goodbye."""
        task, self._task = self._task, None
        if self._current is not None:
            self._current.end(Ending.lost("closed"))  # from now on nothing is read
        self._drop_link()
        if task is not None:
            task.cancel()
        self._set_state(state)
        return task

    def wake(self) -> None:
        """Check an open connection at once; try again at once where there is none."""
        self._wait_over.set()
        if self._current is not None:
            self._current.probe()

    def check(self) -> None:
        """Raise what keeps this client from ever being connected, as it is."""
        if self.state == IDLE:
            raise NotConnected("not connected: enter the client (`async with`), or call connect()")
        if self.state == CLOSED:
            raise ClientClosed("this client was closed")
        if self.state == REFUSED:
            raise self.refusal or Refused("refused")

    async def wait_for_link(self) -> Link:
        """Return the connection as soon as there is one; raises what `check` does."""
        while self.link is None or self.link.is_over:
            self.check()
            await self._changed.wait()
        return self.link

    @override
    def received_frame(self, frame: str | bytes) -> None:
        self._listener.received_frame(frame)

    @override
    def received(self, link: Link, incoming: Incoming) -> None:
        self._listener.received(link, incoming)

    @override
    def failed(self, error: Exception) -> None:
        self._listener.failed(error)

    @override
    def proven(self, link: Link) -> None:
        """Only now it is a connection: a refused handshake opens, too, and then closes."""
        self._backoff.reset()
        self._token_verdicts = 0
        self.link = link
        self._listener.link_up(link)
        self._set_state(CONNECTED)

    async def _run(self) -> None:
        self._token_verdicts = 0
        ending: Ending | None = None
        for attempt in itertools.count(1):
            refused = ending is not None and ending.retry == TOKEN
            request = TokenRequest("refused" if refused else "connect", attempt)
            ending = await self._attempt(request)
            self._drop_link()
            if self._is_final(ending):
                self._refuse(ending.refusal())
                return
            self._set_state(CONNECTING if self.state == CONNECTING else RECONNECTING)
            self._listener.failed(ending.refusal() if ending.reason else _broken(ending))
            self._wait_over.clear()
            await self._wait(ending.retry_after)

    async def _wait(self, floor: float) -> None:
        """Wait for the next attempt; who is woken still waits as long as the server has said."""
        earliest = self._clock.monotonic() + floor
        await pause(self._clock, self._backoff.next_wait(floor), self._wait_over)
        left = earliest - self._clock.monotonic()
        if left > 0:
            await pause(self._clock, left, asyncio.Event())

    async def _attempt(self, request: TokenRequest) -> Ending:
        """Connect once, and serve the connection until it ends."""
        try:
            token = await self._source.get(request)
        except Refused as refused:
            return Ending(refused.reason, NEVER, 0, detail=refused.detail)
        except Exception as error:  # noqa: BLE001 - the program's own function may raise anything
            return Ending.lost(f"no token: {_said(error)}")
        try:
            async with Limit(self._clock, self._options.timeout):
                socket = await self._connect(self._request(token))
        except HandshakeDenied as denied:
            return Ending.of_denial(denied.status, denied.headers, denied.body)
        except SocketClosed as closed:
            return Ending.of_close(closed.code, closed.reason)
        except Exception as error:  # noqa: BLE001 - of the network, of TLS, of a proxy
            return Ending.lost(_said(error))
        self._current = Link(socket, self._clock, self._options, self, self._refs)
        return await self._current.run()

    def _request(self, token: str | None) -> SocketRequest:
        headers = dict(self._options.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        names = [form.subprotocol for form in FORMS[self._options.codec]]
        return SocketRequest(self._url, names, headers, self._options.tls, self._options.proxy)

    def _is_final(self, ending: Ending) -> bool:
        if ending.retry == TOKEN:
            self._token_verdicts += 1
            given_up = self._token_verdicts > MAX_TOKEN_VERDICTS
            return given_up or not self._source.gives_new_ones
        return ending.retry == NEVER

    def _refuse(self, refusal: Refused) -> None:
        self._task = None  # so that a function that is told may connect again
        self.refusal = refusal
        self._set_state(REFUSED)

    def _drop_link(self) -> None:
        link, self.link, self._current = self.link, None, None
        if link is not None:
            self._listener.link_down(link)

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self._changed.wake()
            self._listener.state_changed(state)


def _broken(ending: Ending) -> NotConnected:
    return NotConnected(ending.detail or f"the connection ended ({ending.status})")


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
