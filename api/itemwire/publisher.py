"""Publishing from a process that is no server: a worker, a scheduled job, a script.

with Publisher() as publisher:
    publisher.publish("order:7", {"status": "packed"})
"""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Final, Self, TypeVar

from itemwire.arguments import check_text
from itemwire.messages import Position
from itemwire.publishing_ways import (
    OutgoingMessage,
    PublishingWay,
    PublishRefused,
    choose_way,
)
from itemwire.rules.payloads import ManyMessages, NewMessage, ready
from itemwire.tracing import publishing_span

__all__ = ["AsyncPublisher", "NewMessage", "PublishRefused", "Publisher"]

T = TypeVar("T")


class AsyncPublisher:
    """Publishes from coroutines of a process that is no server, while it is entered.

    It goes through the engine `engine_url`, which must be one that processes share, or over HTTP
    to the server `url` with a `token` that may publish. Without arguments it takes
    ITEMWIRE_ENGINE_URL if that engine is shared, else ITEMWIRE_URL with ITEMWIRE_TOKEN.

    `name` is that of the `Itemwire` that it publishes to, if that has one; it counts for engines.

    Raises ValueError for an argument that is no text. Entering it raises ValueError, saying what is
    missing, and EngineError where the engine cannot be reached.
    """

    def __init__(
        self,
        *,
        engine_url: str | None = None,
        url: str | None = None,
        token: str | None = None,
        name: str = "",
    ) -> None:
        _check_arguments(engine_url, url, token, name)
        self._given = (engine_url, url, token)
        self._name = name
        self._way: PublishingWay | None = None

    async def __aenter__(self) -> Self:
        way = choose_way(*self._given, os.environ, self._name)
        await way.open()
        self._way = way
        return self

    async def __aexit__(self, *_error: object) -> None:
        way, self._way = self._way, None
        if way is not None:
            await way.close()

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
        """Publish to an item, and return the position of the stored message.

        `data` is text, bytes, or what can be written as JSON. `meta` is a small map that goes with
        the message, and `end` marks it as the last one of a stream. Over HTTP the sender is the
        subject of the token.

        Raises ValueError for a text that is no item id and for too much `meta`, TypeError for data
        that is no JSON, `PublishRefused` where a server refuses the message, and EngineError where
        it was not stored, or may not have been: with the same key it is safe to repeat it.
        """
        with publishing_span(item_id):
            message = _outgoing(NewMessage(item_id, data, meta, end), idempotency_key, sender)
            (position,) = await self._open_way().publish([message])
            return position

    async def publish_many(
        self,
        messages: Iterable[ManyMessages],
        *,
        idempotency_key: str | None = None,
        sender: str | None = None,
    ) -> list[Position]:
        """Publish pairs of an item id and data, in their order; return the position of each.

        In place of a pair, `NewMessage` has `meta` and `end` as well. If one fails, those before
        it are stored; with `idempotency_key`, which stands for the whole call, repeating the same
        call is safe and stores only what is missing.

        Raises what `publish` raises; before anything is stored where a message is wrong.
        """
        outgoing: list[OutgoingMessage] = []
        given = list(messages)
        with publishing_span(len(given)):
            for number, message in enumerate(given):
                key = None if idempotency_key is None else f"{idempotency_key}:{number}"
                outgoing.append(_outgoing(message, key, sender))
            return await self._open_way().publish(outgoing)

    def _open_way(self) -> PublishingWay:
        if self._way is None:
            raise RuntimeError("enter the publisher first: `async with AsyncPublisher() as …`")
        return self._way


class Publisher:
    """Publishes from threads of a process that is no server, given what `AsyncPublisher` is.

    It connects when it is entered, or else at its first publish, and has a thread of its own until
    it is closed. Threads may share one. A process that is forked connects anew, so one that a
    module makes serves a worker that forks, such as Celery's.
    """

    def __init__(
        self,
        *,
        engine_url: str | None = None,
        url: str | None = None,
        token: str | None = None,
        name: str = "",
    ) -> None:
        _check_arguments(engine_url, url, token, name)
        self._make = partial(AsyncPublisher, engine_url=engine_url, url=url, token=token, name=name)
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        _publishers.add(self)

    def __enter__(self) -> Self:
        _refuse_event_loop()
        self._started()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def publish(
        self,
        item_id: str,
        data: object,
        *,
        idempotency_key: str | None = None,
        sender: str | None = None,
        meta: Mapping[str, str] | None = None,
        end: bool = False,
    ) -> Position:
        """Publish to an item, as `AsyncPublisher.publish` does, and wait until it is stored.

        Raises RuntimeError in a coroutine, whose event loop it would block.
        """
        return self._run(
            lambda publisher: publisher.publish(
                item_id, data, idempotency_key=idempotency_key, sender=sender, meta=meta, end=end
            )
        )

    def publish_many(
        self,
        messages: Iterable[ManyMessages],
        *,
        idempotency_key: str | None = None,
        sender: str | None = None,
    ) -> list[Position]:
        """Publish pairs of an item id and data, as `AsyncPublisher.publish_many` does, and wait.

        Raises RuntimeError in a coroutine, whose event loop it would block.
        """
        ready = list(messages)
        return self._run(
            lambda publisher: publisher.publish_many(
                ready, idempotency_key=idempotency_key, sender=sender
            )
        )

    def close(self) -> None:
        """Disconnect; a later publish connects anew."""
        with self._lock:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.stop()

    def _run(self, call: "Callable[[AsyncPublisher], Coroutine[Any, Any, T]]") -> T:
        _refuse_event_loop()
        return self._started().run(call)

    def _started(self) -> "_Worker":
        with self._lock:
            if self._worker is None:
                self._worker = _Worker(self._make())
            return self._worker

    def forget_parent(self) -> None:
        """Leave what the parent process has to that one; called in a process that was forked."""
        self._lock = threading.Lock()  # a thread of the parent may have held it
        if self._worker is not None:
            _of_parents.append(self._worker)
            self._worker = None


class _Worker:
    """An event loop in a thread, and a publisher that was entered on it."""

    def __init__(self, publisher: AsyncPublisher) -> None:
        self._publisher = publisher
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="itemwire-publisher", daemon=True
        )
        self._thread.start()
        try:
            self.run(AsyncPublisher.__aenter__)
        except BaseException:
            self._end_thread()
            raise

    def run(self, call: "Callable[[AsyncPublisher], Coroutine[Any, Any, T]]") -> T:
        """Run a coroutine on the event loop, and wait for it: all that it waits for has a limit."""
        return asyncio.run_coroutine_threadsafe(call(self._publisher), self._loop).result()

    def stop(self) -> None:
        """Close the publisher, then the event loop."""
        try:
            self.run(AsyncPublisher.__aexit__)
        finally:
            self._end_thread()

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _outgoing(message: ManyMessages, key: str | None, sender: str | None) -> OutgoingMessage:
    item_id, data, extras = ready(message)
    return OutgoingMessage(item_id, data, key, sender, extras)


def _check_arguments(engine_url: object, url: object, token: object, name: object) -> None:
    given = {"engine_url": engine_url, "url": url, "token": token}
    for argument, value in given.items():
        if value is not None:
            check_text(argument, value)
    check_text("name", name)


def _refuse_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("Publisher would block the event loop: use AsyncPublisher in coroutines")


_publishers: Final[weakref.WeakSet[Publisher]] = weakref.WeakSet()

# Never freed: closing them in a child would end connections that the parent still uses.
_of_parents: Final[list[_Worker]] = []


def _forget_parents() -> None:
    for publisher in list(_publishers):
        publisher.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents)
