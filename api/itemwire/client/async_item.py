"""One item of a client for asyncio: join it, read it, publish to it."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, TypeVar

from typing_extensions import override

from itemwire.client.emitter import Emitter, Handler, logger
from itemwire.client.envelopes import Incoming
from itemwire.client.errors import (
    ClientClosed,
    ClientError,
    NotConnected,
    PublishUnconfirmed,
    Refused,
    RequestTimeout,
)
from itemwire.client.events import ItemEvents, Remove
from itemwire.client.item_stream import Unread
from itemwire.client.payload_types import payload_reader
from itemwire.client.received import (
    ItemHistory,
    ItemMember,
    PayloadMismatch,
    PublishResult,
    ReceivedMessage,
    message_of,
)
from itemwire.client.requests import Answered, Requests
from itemwire.client.subscription import ClientSubscription
from itemwire.messages import Gap, Position

T = TypeVar("T")

ITEM_EVENTS: Final = ("message", "gap", "members", "state", "refused")
MEMBERS_PAGE: Final = 1000


class AsyncItem(ItemEvents[T]):
    """An item, made by `AsyncClient.item`; joining or iterating over it makes messages come.

    Iterating gives `ReceivedMessage`s, and a `Gap` in the place of messages that are lost. It ends
    when the item is left or the client closed, and raises `Refused` if the server refuses for good.
    """

    def __init__(
        self,
        subscription: ClientSubscription,
        requests: Requests,
        wanted_type: type[T] | None,
        check_loop: Callable[[], None],
        let_go: "Callable[[AsyncItem[Any]], None]",
    ) -> None:
        self.subscription = subscription
        self._requests = requests
        self._read = payload_reader(wanted_type)
        self._check_loop = check_loop
        self._let_go = let_go
        self._emitter = Emitter(ITEM_EVENTS)
        self.options: tuple[type[Any] | None, str | None, int] = (None, None, 0)
        self.twin: object = None  # the same item for threads, if there is one
        self._told_state: object = self.state
        self._pump: asyncio.Task[None] | None = None
        self._pages: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The item's id."""
        return self.subscription.item_id

    @property
    def state(self) -> str:
        """`away`, `joining`, `joined` or `refused`."""
        return self.subscription.state

    @property
    def position(self) -> str | None:
        """The place of what was read last, to go on from with `since` in another process."""
        position = self.subscription.stream.position
        return None if position is None else str(position)

    @property
    def can(self) -> frozenset[str]:
        """The actions that are allowed here, once the item is joined."""
        return self.subscription.can

    @property
    def members(self) -> tuple[ItemMember, ...]:
        """Who is on the item, as far as the server lists them; needs the right `presence`."""
        return self.subscription.members.all()

    @property
    def member_count(self) -> int:
        """How many are on the item."""
        return self.subscription.members.count

    async def join(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - own clock
        """Hear the item from now on, and wait until the server has agreed.

        After `RequestTimeout` the client goes on trying; `leave` ends that.
        """
        self._check_loop()
        self._want()
        await self._requests.joined(self.subscription, timeout)

    async def leave(self) -> None:
        """Hear nothing more: what was not read is dropped, and iterating ends.

        The client then forgets an item that the program does not hold, unless it has functions.
        """
        self._check_loop()
        self.subscription.drop()
        self._stop_pages()
        if not self._emitter.hears_anything:
            self._let_go(self)

    @override
    def add_handler(self, event: str, handler: Handler) -> Remove:
        """Do what `on` does, for an event whose name is known only at run time."""
        self._check_loop()
        remove = self._emitter.on(event, handler)
        self._start_pump()
        return remove

    def __aiter__(self) -> Self:
        """Join, if that was not done, and read what comes."""
        self._check_loop()
        if self._pump is not None:
            raise RuntimeError(f"the functions given to on() read {self.id} already")
        self._want()
        return self

    async def __anext__(self) -> ReceivedMessage[T] | Gap:
        return self._value_of(await self.subscription.stream.read())

    async def receive(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - own clock
    ) -> ReceivedMessage[T] | Gap:
        """Return the next message or gap; raises `RequestTimeout` when none comes in time.

        Without `timeout` it is that of the client. Raises `ClientClosed` when nothing more comes.
        """
        entry = await self._requests.within(aiter(self).__anext__(), timeout)
        if entry is None:
            raise ClientClosed(f"{self.id} was left")
        return entry

    async def publish(
        self,
        data: object,
        *,
        key: str | None = None,
        meta: Mapping[str, str] | None = None,
        end: bool = False,
        retry: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - own clock
    ) -> PublishResult:
        """Publish, and return where the message is stored.

        Raises `PublishUnconfirmed` with its `key` if no answer came: publishing again with that key
        stores nothing twice. With `retry` that is done here, until `timeout`.
        """
        self._check_loop()
        key = uuid.uuid4().hex if key is None else key
        fields: dict[str, object] = {"type": "publish", "item": self.id, "data": data, "key": key}
        fields |= {"meta": dict(meta)} if meta else {}
        fields |= {"end": True} if end else {}
        try:
            answered = await self._ask(fields, repeat=retry, timeout=timeout)
        except (ClientClosed, NotConnected, RequestTimeout) as error:
            if error.was_sent:
                raise PublishUnconfirmed(key) from error
            raise
        return PublishResult.of(answered.reply)

    async def request(
        self,
        name: str,
        data: object = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - own clock
    ) -> Any:  # noqa: ANN401 - whatever the application answers
        """Ask the application something about this item, and return its answer."""
        self._check_loop()
        fields = {"type": "request", "item": self.id, "name": name, "data": data}
        reply, form = await self._ask(fields, timeout=timeout)
        return form.value(reply.data, reply.encoding)

    async def history(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - own clock
    ) -> ItemHistory[T]:
        """Return stored messages, oldest first: of those between two offsets, the newest.

        With `after` they are the oldest ones behind it.
        """
        self._check_loop()
        bounds = {"after": after, "before": before, "limit": limit}
        given = {name: value for name, value in bounds.items() if value is not None}
        fields = {"type": "history", "item": self.id, **given}
        reply, form = await self._ask(fields, repeat=True, timeout=timeout)
        messages = [message_of(one, form, self._read) for one in reply.messages or ()]
        position = str(Position(reply.epoch, reply.offset))
        return ItemHistory(tuple(messages), position, reply.complete)

    def tell(self, event: str, *values: object) -> None:
        """Call the functions that are registered for an event; a state is told when it is new."""
        if event == "state":
            if values[0] == self._told_state:
                return
            self._told_state = values[0]
        self._emitter.emit(event, *values)

    def members_changed(self) -> None:
        """Call the functions that follow the members, if there are any."""
        if self._emitter.hears("members"):
            self._emitter.emit("members", self.members)

    def joined(self, welcome: Incoming) -> None:
        """Read the pages of members that a welcome has no room for."""
        self._stop_pages()
        self._start_pump()
        members = self.subscription.members
        if members.welcome(welcome):
            self._pages = asyncio.ensure_future(self._read_pages())
        self.members_changed()
        self.tell("state", self.state)

    def stop(self) -> None:
        """End what runs for this item."""
        self._stop_pages()
        self._emitter.cancel()
        if self._pump is not None and self._pump is not asyncio.current_task():
            self._pump.cancel()

    def _want(self) -> None:
        self._requests.check()
        self.subscription.want()
        self._start_pump()

    def _value_of(self, entry: Unread) -> ReceivedMessage[T] | Gap:
        if isinstance(entry.value, Gap):
            return entry.value
        return message_of(entry.value, entry.form, self._read)

    async def _ask(
        self,
        fields: Mapping[str, object],
        *,
        repeat: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - own clock
        apply: Callable[[Incoming], None] | None = None,
    ) -> Answered:
        return await self._requests.ask(
            fields, about=self.subscription, repeat=repeat, timeout=timeout, apply=apply
        )

    def _start_pump(self) -> None:
        """Read for the functions, if there are any and the item is wanted."""
        hears = self._emitter.hears("message") or self._emitter.hears("gap")
        if self._pump is None and hears and self.subscription.is_wanted:
            self._pump = asyncio.ensure_future(self._run_pump())

    async def _run_pump(self) -> None:
        try:
            while True:
                await self._hand_out(await self.subscription.stream.read())
        except (StopAsyncIteration, Refused):
            return  # left, or refused: the event `refused` tells that
        except RuntimeError:
            logger.exception("the functions of %s hear nothing", self.id)
        finally:
            self._pump = None

    async def _hand_out(self, entry: Unread) -> None:
        try:
            value = self._value_of(entry)
        except PayloadMismatch as error:
            self._requests.failed(error)
            return
        event = "gap" if isinstance(value, Gap) else "message"
        await self._emitter.call(event, value, lambda: self.subscription.is_wanted)

    def _stop_pages(self) -> None:
        pages, self._pages = self._pages, None
        if pages is not None:
            pages.cancel()

    async def _read_pages(self) -> None:
        """Read page after page; each is put in its place among those who join and leave."""
        members = self.subscription.members
        after = max((one.connection for one in members.all()), default=None)
        try:
            while True:
                fields: dict[str, object] = {"type": "members", "limit": MEMBERS_PAGE}
                fields |= {"item": self.id} | ({} if after is None else {"after": after})
                reply, _ = await self._ask(fields, apply=members.page)
                self.members_changed()
                after = reply.next
                if after is None:
                    return
        except (ClientClosed, NotConnected):
            return  # the next welcome begins anew
        except ClientError as error:
            logger.warning("the members of %s are not complete: %s", self.id, error)
