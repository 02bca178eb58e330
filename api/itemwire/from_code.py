"""What an application's own code does with channels: it publishes, hears, sends and ends."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

from itemwire.assembly import Assembly
from itemwire.channels.direct import addressed_to
from itemwire.channels.names import DIRECT_ITEM, check_item_id
from itemwire.channels.node import Node
from itemwire.channels.presence.presence import Page
from itemwire.channels.watched import is_pattern, matcher_of
from itemwire.engines.base import ANSWER_SECONDS, Answer, EngineError, History, Span
from itemwire.engines.callbacks import answer_or_raise, answers_of
from itemwire.messages import NO_EXTRAS, Extras, Payload, Position
from itemwire.ops.connection_list import Connected
from itemwire.routes.admin.revocations import dates_fault
from itemwire.rules.payloads import ManyMessages, NewMessage, encoded, ready
from itemwire.subscribing import ItemMessages
from itemwire.tracing import publishing_span
from itemwire_auth.revocation import Revocation

logger = logging.getLogger("itemwire.channels")

T = TypeVar("T")

Subject = str | int | UUID
"""What names a caller: the `id` of a user of the application, or the subject of a token."""

PATIENCE: Final = ANSWER_SECONDS + 3.0  # for another event loop, which may be held up


class FromCode:
    """The methods of `Itemwire` for the application's own code.

    Coroutines may call them on any event loop. They raise RuntimeError while the channels do not
    run, and EngineError where the engine does not do what is asked, or does not answer in time.
    """

    def __init__(self, assembly: Assembly, issuer: str | None) -> None:
        self._assembly = assembly
        self._issuer = issuer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[ItemMessages] = set()

    async def publish(
        self,
        item_id: str,
        data: object,
        *,
        idempotency_key: str | None = None,
        sender: str | None = None,
        meta: Mapping[str, str] | None = None,
        end: bool = False,
    ) -> Position:
        """Publish to an item, from any coroutine, and return the position of the stored message.

        `data` is text, bytes, or what can be written as JSON: also a Pydantic model or a msgspec
        struct. It is charged to nobody's rates. `meta` is a small map that goes with the message,
        and `end` marks it as the last one of a stream.

        Where messages are ephemeral the position has the offset 0: it was stored nowhere.

        Raises ValueError for a text that is no item id, for too much `meta`, and for data that do
        not fit the rules of the channel, TypeError for data that are no JSON, RuntimeError while
        the lifespan does not run, and EngineError where it was not stored.
        """
        with publishing_span(item_id):
            _, payload, extras = ready(NewMessage(item_id, data, meta, end))
            ask = self._publishing(item_id, payload, idempotency_key, sender, extras)
            return await self._ask(ask)

    async def history(
        self,
        item_id: str,
        *,
        limit: int = 100,
        after: int | None = None,
        before: int | None = None,
    ) -> History:
        """Return the newest `limit` messages of an item, or the oldest ones after an offset.

        Raises ValueError for a text that is no item id, RuntimeError while the lifespan does not
        run, and EngineError where the engine does not answer.
        """
        check_item_id(item_id)
        node = self._running_node()
        return await self._ask(partial(node.history, item_id, Span(limit, after, before)))

    async def publish_many(
        self,
        messages: Iterable[ManyMessages],
        *,
        idempotency_key: str | None = None,
        sender: str | None = None,
    ) -> list[Position]:
        """Publish pairs of an item id and data, in their order; return the position of each.

        In place of a pair, `NewMessage` has `meta` and `end` as well. All are looked at first, so
        that one that is wrong keeps all of them from being stored. If the engine fails, those
        before it are stored; with `idempotency_key`, which stands for the whole call, repeating
        the same call is safe and stores only what is missing.

        Raises ValueError and TypeError as `publish` does.
        """
        given = list(messages)
        with publishing_span(len(given)):
            asks = [
                self._publishing(
                    item_id,
                    payload,
                    None if idempotency_key is None else f"{idempotency_key}:{number}",
                    sender,
                    extras,
                )
                for number, (item_id, payload, extras) in enumerate([ready(one) for one in given])
            ]
            return await self._on_own_loop(lambda: answers_of(asks))

    def publish_sync(
        self,
        item_id: str,
        data: object,
        *,
        idempotency_key: str | None = None,
        sender: str | None = None,
        meta: Mapping[str, str] | None = None,
        end: bool = False,
    ) -> Position:
        """Publish from a thread, such as that of a `def` route, and wait until it is stored.

        Raises RuntimeError on the thread of the event loop, which would wait for itself, and
        everything that the coroutine `publish` raises.
        """
        with publishing_span(item_id):
            _, payload, extras = ready(NewMessage(item_id, data, meta, end))
            ask = self._publishing(item_id, payload, idempotency_key, sender, extras)
            return self._wait_for(ask)

    async def members(self, item_id: str, *, limit: int = 100, after: str = "") -> Page:
        """Return the members of an item on all nodes, by id, from the one after `after` on.

        Raises ValueError for a text that is no item id.
        """
        check_item_id(item_id)
        node = self._running_node()
        return await self._ask(partial(node.members, item_id, limit=limit, after=after))

    async def channels(self) -> dict[str, int]:
        """Return how many sockets of this node are on each item that has any."""
        node = self._running_node()
        return await self._ask(lambda answer: answer(node.listening.subscribers()))

    async def connections(self, *, limit: int = 100, after: str = "") -> list[Connected]:
        """Return connections of this node, by id, from the one after `after` on."""
        self._running_node()
        connections = self._assembly.operations.connections
        return await self._ask(lambda answer: answer(connections.here(limit, after)))

    @contextlib.asynccontextmanager
    async def subscribe(self, *item_ids: str) -> AsyncGenerator[ItemMessages]:
        """Hear what is published to these items, on whichever node, from now on.

        An item may be a pattern, such as `order:*`, in which `*` is one segment, and as the last
        one, one or more. What is lost of a pattern is told as `MessagesLost` of that pattern.

        `async with live.subscribe("order:7") as messages: async for message in messages: …`. The
        iteration ends when the channels stop. It raises `MessagesLost` in the place of messages
        that are lost, also to a reader that is far too slow; iterate again to go on.

        Raises ValueError for a text that is neither an item id nor a pattern, and RuntimeError on
        another event loop than that of the channels.
        """
        if not item_ids:
            raise ValueError("name an item to subscribe to")
        for item_id in item_ids:
            (matcher_of if is_pattern(item_id) else check_item_id)(item_id)
        node = self._running_node()
        if not _is_running(self._own_loop()):
            raise RuntimeError("subscribe on the event loop that the channels run on")
        messages = ItemMessages()
        self._open.add(messages)
        try:
            for item_id in item_ids:
                position = await self._ask(partial(node.listening.hear, item_id, messages.hear))
                messages.begin(item_id, position.epoch)
            yield messages
        finally:
            self._open.discard(messages)
            if node.is_started:
                for item_id in item_ids:
                    node.listening.unhear(item_id, messages.hear)

    async def send_to(
        self,
        subject: Subject,
        data: object,
        *,
        issuer: str | None = None,
        idempotency_key: str | None = None,
        sender: str | None = None,
    ) -> None:
        """Send a message to all sockets of a caller, on every node, whatever items they are on.

        It arrives as `{"type": "direct", "data": …}`, of no item; plain sockets, which have no
        envelopes, do not get it. It is stored when this returns, and is not replayed to a caller
        who connects later. `issuer` tells callers of several token issuers apart; it is that of
        the settings, or none, unless given.

        Raises ValueError for an empty subject, and TypeError for data that is no JSON.
        """
        caller = (self._issuer if issuer is None else issuer, _subject_of(subject))
        addressed = addressed_to(caller, encoded(data))
        await self._ask(self._publishing(DIRECT_ITEM, addressed, idempotency_key, sender))

    async def disconnect(self, subject: Subject, *, issuer: str | None = None) -> int:
        """End all sockets of a caller, on every node; return how many ended on this one.

        They close with `token_revoked`, and may come back at once. Without an issuer they are
        those of the subject of any issuer.

        Raises ValueError for an empty subject.
        """
        node = self._running_node()
        named = _subject_of(subject)
        revocation = Revocation(node.revocations.now(), subject=named, issuer=issuer)
        ended: int = await self._ask(partial(node.revoke, revocation))
        logger.info("disconnected_by_code subject=%r issuer=%r closed=%d", named, issuer, ended)
        return ended

    async def revoke(
        self,
        subject: Subject | None = None,
        *,
        token_id: str | None = None,
        session: str | None = None,
        issuer: str | None = None,
        issued_before: float | None = None,
        until: float | None = None,
        margin: float = 0,
    ) -> int:
        """Refuse a caller, one token or one login from now on; return how many sockets end here.

        Their sockets end on every node, at once or after a margin in seconds. `issued_before`
        spares what a subject was issued later, such as a new login. It holds `until` (both are
        Unix times), by default for as long as the longest token lives.

        Raises ValueError unless exactly one of a subject, a token and a session is named, and for
        dates that nobody can mean.
        """
        node = self._running_node()
        now = node.revocations.now()
        fault = dates_fault(until, issued_before, now)
        if fault is not None:
            raise ValueError(fault)
        revocation = Revocation(
            node.revocations.end_of_life() if until is None else until,
            token_id,
            None if subject is None else _subject_of(subject),
            issuer,
            issued_before,
            session,
        )
        ended: int = await self._ask(partial(node.revoke, revocation, margin=margin))
        logger.info("revoked_by_code revocation=%r margin=%s closed=%d", revocation, margin, ended)
        return ended

    @contextlib.contextmanager
    def _serving_code(self) -> Generator[None]:
        """Serve code on the running event loop; at the end, end what it subscribes to."""
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            for messages in self._open:
                messages.end()

    def _publishing(
        self,
        item_id: str,
        payload: Payload,
        key: str | None,
        sender: str | None,
        extras: Extras = NO_EXTRAS,
    ) -> Callable[[Answer[Position]], None]:
        """Return what publishes a message and answers its position."""
        publish = self._running_node().publishing.from_code
        return partial(publish, item_id, payload, key=key, sender=sender, extras=extras)

    def _running_node(self) -> Node:
        node = self._assembly.node
        if not node.is_started:
            raise RuntimeError(
                "the channels do not run: include `router`, or enter `lifespan(app)` in the "
                "lifespan of the application, and start it"
            )
        return node

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the channels were started without the `lifespan` of `Itemwire`")
        return self._loop

    async def _ask(self, ask: Callable[[Answer[T]], None]) -> T:
        """Ask the node on its own event loop, from whichever this is called on."""
        return await self._on_own_loop(lambda: answer_or_raise(ask))

    def _wait_for(self, ask: Callable[[Answer[Position]], None]) -> Position:
        """Wait for an answer, in another thread than that of the event loop."""
        loop = self._own_loop()
        if _is_running(loop):
            raise RuntimeError(
                "publish_sync would block the event loop that it waits for: "
                "`await` the coroutine `publish` here"
            )
        waiting = asyncio.run_coroutine_threadsafe(answer_or_raise(ask), loop)
        try:
            position: Position = waiting.result(PATIENCE)
        except TimeoutError:
            waiting.cancel()
            raise EngineError(f"the event loop did not answer in {PATIENCE:g} s") from None
        return position

    async def _on_own_loop(self, run: Callable[[], Coroutine[Any, Any, T]]) -> T:
        loop = self._own_loop()
        if _is_running(loop):
            return await run()
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), loop))
        except TimeoutError:
            raise EngineError(f"the event loop did not answer in {PATIENCE:g} s") from None


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether this is called by what runs on an event loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _subject_of(subject: Subject) -> str:
    if subject == "":
        raise ValueError("the subject is empty")
    return str(subject)
