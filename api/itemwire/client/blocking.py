"""The client for threads: `AsyncClient` on an event loop in a thread of its own."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self, TypeVar, Unpack, cast, overload

from typing_extensions import override

from itemwire.client.async_client import AsyncClient, ClientArguments
from itemwire.client.async_item import AsyncItem
from itemwire.client.emitter import Handler
from itemwire.client.errors import ClientClosed
from itemwire.client.events import ClientEvents, ItemEvents, Remove
from itemwire.client.loop_thread import LoopThread
from itemwire.client.received import ItemHistory, ItemMember, PublishResult, ReceivedMessage
from itemwire.messages import Gap, Position

T = TypeVar("T")


class Client(ClientEvents):
    """What `AsyncClient` does, for code without an event loop; threads may share one.

    with Client("wss://wire.example.com", token=fetch_token) as wire:
        for message in wire.item("order:42"):
            print(message.data)

    It takes the options of `AsyncClient`. Every call ends within its `timeout`, or that of the
    client. A client that is left open closes when the interpreter ends.
    """

    def __init__(self, url: str, **options: Unpack[ClientArguments]) -> None:
        self._client = AsyncClient(url, **options)
        self._thread = LoopThread("itemwire-client")
        self._thread.end_with(self._client.close)

    @property
    def state(self) -> str:
        """`idle`, `connecting`, `connected`, `reconnecting`, `refused` or `closed`."""
        return self._client.state

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def connect(self) -> None:
        """Begin to connect, and stay connected; `ready` waits for it."""
        self._thread.call(self._client.connect)

    def ready(self, *, timeout: float | None = None) -> None:
        """Wait until there is a connection; raises `Refused` if the server wants none."""
        self._thread.run(lambda: self._client.ready(timeout=timeout))

    def close(self) -> None:
        """Disconnect for good, and end the thread; iterating ends."""
        self._thread.stop()

    def sign_out(self) -> None:
        """Disconnect and forget the user, as `AsyncClient.sign_out` does."""
        self._thread.run(self._client.sign_out)

    def wake(self) -> None:
        """Check the connection at once, or try again without a wait: the network came back."""
        self._thread.call(self._client.wake)

    @override
    def add_handler(self, event: str, handler: Handler) -> Remove:
        """Do what `on` does, for an event whose name is known only at run time."""
        remove = self._thread.call(lambda: self._client.add_handler(event, handler))
        return lambda: self._thread.call(remove)

    @overload
    def item(
        self,
        item_id: str,
        *,
        type: type[T],
        since: str | Position | None = None,
        replay: int = 0,
    ) -> "BlockingItem[T]": ...

    @overload
    def item(
        self,
        item_id: str,
        *,
        type: None = None,
        since: str | Position | None = None,
        replay: int = 0,
    ) -> "BlockingItem[Any]": ...

    def item(
        self,
        item_id: str,
        *,
        type: type[Any] | None = None,  # noqa: A002 - the word for it
        since: str | Position | None = None,
        replay: int = 0,
    ) -> "BlockingItem[Any]":
        """Return an item, as `AsyncClient.item` does."""

        def make() -> BlockingItem[Any]:
            item: AsyncItem[Any] = self._client.item(item_id, type=type, since=since, replay=replay)
            return _twin_of(item, self._thread)

        return self._thread.call(make)

    def publish(
        self,
        item_id: str,
        data: object,
        *,
        key: str | None = None,
        meta: Mapping[str, str] | None = None,
        end: bool = False,
        retry: bool = False,
        timeout: float | None = None,
    ) -> PublishResult:
        """Publish to an item, as `AsyncItem.publish` does; it is joined meanwhile."""
        return self._thread.run(
            lambda: self._client.publish(
                item_id, data, key=key, meta=meta, end=end, retry=retry, timeout=timeout
            )
        )


class BlockingItem(ItemEvents[T]):
    """An item, made by `Client.item`: what `AsyncItem` is, for threads."""

    def __init__(self, item: AsyncItem[T], thread: LoopThread) -> None:
        self._item = item
        self._thread = thread

    @property
    def id(self) -> str:
        """The item's id."""
        return self._item.id

    @property
    def state(self) -> str:
        """`away`, `joining`, `joined` or `refused`."""
        return self._item.state

    @property
    def position(self) -> str | None:
        """The place of what was read last, to go on from with `since` in another process."""
        return self._item.position

    @property
    def can(self) -> frozenset[str]:
        """The actions that are allowed here, once the item is joined."""
        return self._item.can

    @property
    def members(self) -> tuple[ItemMember, ...]:
        """Who is on the item, as far as the server lists them; needs the right `presence`."""
        return self._thread.call(lambda: self._item.members)

    @property
    def member_count(self) -> int:
        """How many are on the item."""
        return self._item.member_count

    def join(self, *, timeout: float | None = None) -> None:
        """Hear the item from now on, and wait until the server has agreed."""
        self._thread.run(lambda: self._item.join(timeout=timeout))

    def leave(self) -> None:
        """Hear nothing more: what was not read is dropped, and iterating ends."""
        self._thread.run(self._item.leave)

    @override
    def add_handler(self, event: str, handler: Handler) -> Remove:
        """Do what `on` does, for an event whose name is known only at run time."""
        remove = self._thread.call(lambda: self._item.add_handler(event, handler))
        return lambda: self._thread.call(remove)

    def __iter__(self) -> Self:
        """Join, if that was not done, and read what comes."""
        with suppress(ClientClosed):  # iterating over what is closed ends at once
            self._thread.call(self._item.__aiter__)
        return self

    def __next__(self) -> ReceivedMessage[T] | Gap:
        with suppress(StopAsyncIteration, ClientClosed):
            return self._thread.run(self._item.__anext__)
        raise StopIteration

    def receive(self, *, timeout: float | None = None) -> ReceivedMessage[T] | Gap:
        """Return the next message or gap; raises `RequestTimeout` when none comes in time.

        Without `timeout` it is that of the client. Raises `ClientClosed` when nothing more comes.
        """
        return self._thread.run(lambda: self._item.receive(timeout=timeout))

    def publish(
        self,
        data: object,
        *,
        key: str | None = None,
        meta: Mapping[str, str] | None = None,
        end: bool = False,
        retry: bool = False,
        timeout: float | None = None,
    ) -> PublishResult:
        """Publish, and return where the message is stored, as `AsyncItem.publish` does."""
        return self._thread.run(
            lambda: self._item.publish(
                data, key=key, meta=meta, end=end, retry=retry, timeout=timeout
            )
        )

    def request(self, name: str, data: object = None, *, timeout: float | None = None) -> Any:  # noqa: ANN401
        """Ask the application something about this item, and return its answer."""
        return self._thread.run(lambda: self._item.request(name, data, timeout=timeout))

    def history(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> ItemHistory[T]:
        """Return stored messages, oldest first, as `AsyncItem.history` does."""
        return self._thread.run(
            lambda: self._item.history(after=after, before=before, limit=limit, timeout=timeout)
        )


def _twin_of(item: AsyncItem[Any], thread: LoopThread) -> BlockingItem[Any]:
    """Return the same object for the same item."""
    if item.twin is None:
        item.twin = BlockingItem[Any](item, thread)
    return cast("BlockingItem[Any]", item.twin)
