"""The client for asyncio: one socket, and any number of items on it."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from random import uniform
from typing import Any, Final, Self, TypedDict, TypeVar, overload

from typing_extensions import override

from itemwire.client.async_item import AsyncItem
from itemwire.client.backoff import CAP_SECONDS, FIRST_SECONDS, Backoff, Random
from itemwire.client.clock import ClientClock, Limit, LoopClock
from itemwire.client.connector import CLOSED, IDLE, Connector
from itemwire.client.emitter import Handler
from itemwire.client.errors import RequestTimeout
from itemwire.client.events import ClientEvents, Remove
from itemwire.client.item_stream import ItemStream
from itemwire.client.options import ClientLimits
from itemwire.client.received import PublishResult
from itemwire.client.refreshing import Refresher
from itemwire.client.requests import Requests
from itemwire.client.router import Router
from itemwire.client.sockets import Connect, Proxy, open_websocket
from itemwire.client.subscription import ClientSubscription
from itemwire.client.token_source import Token, TokenSource
from itemwire.messages import Position, read_position

T = TypeVar("T")


ItemOptions = tuple[type[Any] | None, str | None, int]
"""The type of payloads, the position to go on from, and how many messages to replay."""

NO_OPTIONS: Final[ItemOptions] = (None, None, 0)


class ClientArguments(TypedDict, total=False):
    """The arguments of a client beside its URL."""

    token: Token
    timeout: float
    silence: float
    queue: int
    buffer: int
    codec: str
    headers: Mapping[str, str] | None
    tls: ssl.SSLContext | None
    proxy: Proxy
    backoff: tuple[float, float]
    clock: ClientClock | None
    connect: Connect
    random: Random


class AsyncClient(ClientEvents):
    """A client that stays connected, and misses nothing without saying so.

    async with AsyncClient("wss://wire.example.com", token=fetch_token) as wire:
        async for message in wire.item("order:42"):
            print(message.data)

    `token` is a token, or a function that returns one and is asked at every attempt. Options are
    those of `ClientLimits`. `backoff` is the first and the widest window of waits. `clock`,
    `connect` and `random` are there for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        timeout: float = 10.0,
        silence: float = 45.0,
        queue: int = 0,
        buffer: int = 1000,
        codec: str = "json",
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: Proxy = True,
        backoff: tuple[float, float] = (FIRST_SECONDS, CAP_SECONDS),
        clock: ClientClock | None = None,
        connect: Connect = open_websocket,
        random: Random = uniform,
    ) -> None:
        self._options = ClientLimits(
            timeout=timeout,
            silence=silence,
            queue=queue,
            buffer=buffer,
            codec=codec,
            headers=dict(headers or {}),
            tls=tls,
            proxy=proxy,
        )
        self._clock = clock or LoopClock()
        self._new_backoff: Callable[[], Backoff] = lambda: Backoff(*backoff, random)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._goodbye: asyncio.Task[None] | None = None
        self._source = TokenSource(token, self._clock, timeout)
        self._router = router = Router(self._clock)
        router.refresher = Refresher(
            self._source,
            self._clock,
            timeout,
            refreshed=router.refreshed,
            failed=router.failed,
        )
        self._connector = router.connector = Connector(
            url,
            self._options,
            source=self._source,
            clock=self._clock,
            connect=connect,
            backoff=self._new_backoff(),
            listener=router,
        )
        self._requests = Requests(self._connector, self._clock, self._options)

    @property
    def state(self) -> str:
        """`idle`, `connecting`, `connected`, `reconnecting`, `refused` or `closed`."""
        return self._connector.state

    async def __aenter__(self) -> Self:
        self.connect()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def connect(self) -> None:
        """Begin to connect, and stay connected; `ready` waits for it."""
        self._check_loop()
        self._connector.start()

    async def ready(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - own clock
        """Wait until there is a connection; raises `Refused` if the server wants none."""
        self._check_loop()
        seconds = self._options.timeout if timeout is None else timeout
        try:
            async with Limit(self._clock, seconds):
                await self._connector.wait_for_link()
        except TimeoutError as error:
            cause = self._router.last_error
            raise RequestTimeout(f"not connected within {seconds:g} s: {cause}") from error

    async def close(self) -> None:
        """Disconnect for good; iterating ends, and nothing more is delivered."""
        self._check_loop()
        if self.state != CLOSED:
            self._goodbye = self._connector.stop(CLOSED)
        await self._say_goodbye()

    async def sign_out(self) -> None:
        """Disconnect and forget the user: the token, the items and their positions.

        `connect` begins anew, and asks the token source again.
        """
        self._check_loop()
        if self.state != CLOSED:
            self._source.forget()
            self._goodbye = self._connector.stop(IDLE)
            self._router.forget_all()
        await self._say_goodbye()

    def wake(self) -> None:
        """Check the connection at once, or try again without a wait: the network came back."""
        self._check_loop()
        self._connector.wake()

    @override
    def add_handler(self, event: str, handler: Handler) -> Remove:
        """Do what `on` does, for an event whose name is known only at run time."""
        self._check_loop()
        return self._router.emitter.on(event, handler)

    @overload
    def item(
        self,
        item_id: str,
        *,
        type: type[T],
        since: str | Position | None = None,
        replay: int = 0,
    ) -> AsyncItem[T]: ...

    @overload
    def item(
        self,
        item_id: str,
        *,
        type: None = None,
        since: str | Position | None = None,
        replay: int = 0,
    ) -> AsyncItem[Any]: ...

    def item(
        self,
        item_id: str,
        *,
        type: type[Any] | None = None,  # noqa: A002 - the word for it
        since: str | Position | None = None,
        replay: int = 0,
    ) -> AsyncItem[Any]:
        """Return an item, the same object for the same id; nothing is joined yet.

        `since` is a position to go on from, `replay` how many recent messages come first, and
        `type` what payloads are read as: a pydantic model, or any type that msgspec converts to.
        Raises ValueError for options that differ from those that the item has.
        """
        self._check_loop()
        options = (type, None if since is None else str(since), replay)
        item = self._found(item_id, options)
        if options not in {NO_OPTIONS, item.options}:
            raise ValueError(f"{item_id} has other options already: {item.options}")
        self._router.keep(item)
        return item

    async def publish(
        self,
        item_id: str,
        data: object,
        *,
        key: str | None = None,
        meta: Mapping[str, str] | None = None,
        end: bool = False,
        retry: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - own clock
    ) -> PublishResult:
        """Publish to an item, as `AsyncItem.publish` does; it is joined meanwhile."""
        self._check_loop()
        return await self._found(item_id, NO_OPTIONS).publish(
            data, key=key, meta=meta, end=end, retry=retry, timeout=timeout
        )

    def _found(self, item_id: str, options: ItemOptions) -> AsyncItem[Any]:
        known: AsyncItem[Any] | None = self._router.items.get(item_id)
        return self._new_item(item_id, options) if known is None else known

    def _new_item(self, item_id: str, options: ItemOptions) -> AsyncItem[Any]:
        wanted_type, since, replay = options
        if replay < 0:
            raise ValueError("replay must not be negative")
        place = None if since is None else read_position(since)
        stream = ItemStream(place, replay, self._options.buffer)
        subscription = ClientSubscription(item_id, stream, self._router, self._new_backoff())
        item = AsyncItem(
            subscription, self._requests, wanted_type, self._check_loop, self._router.let_go
        )
        item.options = options
        self._router.items[item_id] = item
        return item

    async def _say_goodbye(self) -> None:
        if self._goodbye is not None:
            await asyncio.wait([self._goodbye])

    def _check_loop(self) -> None:
        """Stay on one event loop: its tasks and timers are of no use on another."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError(
                "this AsyncClient belongs to another event loop: make one for each loop, "
                "or use Client, which threads may share"
            )
