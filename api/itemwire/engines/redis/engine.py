"""The engine on Redis or Valkey: what one node publishes, every node hears.

Publishing is one atomic script a message, sent with all others of the same loop tick. Live messages
come by pub/sub, which may lose them: offsets tell, and what is missing is read from the stream.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple

from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    Answer,
    Apply,
    Bounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.engines.callbacks import answer_to, when_done
from itemwire.engines.redis.link import Reply
from itemwire.engines.redis.notices import RedisNotices
from itemwire.engines.redis.requests import RedisCall
from itemwire.engines.redis.scripts import ChannelScripts
from itemwire.engines.redis.servers import RedisServers, RedisTarget
from itemwire.engines.storage_format import pack, unpack
from itemwire.engines.subscriptions import ChannelSource, Subscriptions
from itemwire.engines.tasks import end, repeat
from itemwire.messages import Draft, Position, Publication, payload_size

CHECK_SECONDS: Final = 10.0  # a lost message of a channel that is quiet since is missed so long
START_SECONDS: Final = 5.0


class ChannelKeys(NamedTuple):
    """What Redis knows a channel by: two keys and a channel of its own, in one slot."""

    stream: str
    meta: str
    live: str


def open_engine(url: str, bounds: Bounds) -> RedisEngine:
    """Make an engine for redis://, rediss:// (TLS) or redis+cluster://; nothing connects yet."""
    return RedisEngine(RedisTarget.of(url), bounds)


class RedisEngine(Engine, ChannelSource):
    """Keeps channels on a Redis or Valkey server, or on a cluster of them."""

    def __init__(self, target: RedisTarget, bounds: Bounds) -> None:
        publish_command = "SPUBLISH" if target.is_cluster else "PUBLISH"
        self._target = target
        # Pub/sub knows no databases: the number is a part of every name.
        self._prefix = f"itemwire:{target.options.get('db', 0)}:"
        self._names = lru_cache(maxsize=10_000)(self._make_names)
        self._publish_command = publish_command
        self._scripts = ChannelScripts.of(bounds, publish_command)
        self._servers = RedisServers(target, self._received)
        self._notices = self._make_notices(NO_SINK.apply)
        self._hearing = Subscriptions(self, NO_SINK)
        self._by_name: dict[bytes, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._epochs = count()
        self._own = secrets.token_urlsafe(6)

    @property
    @override
    def is_available(self) -> bool:
        return self._task is not None and self._servers.is_available

    @override
    async def start(self, sink: Sink) -> None:
        await self.stop()
        self._own = secrets.token_urlsafe(6)  # the names of epochs that begin here
        self._servers = RedisServers(self._target, self._received)
        self._notices = self._make_notices(sink.apply)
        self._hearing = Subscriptions(self, sink)
        heard: asyncio.Future[EngineError | None] = asyncio.get_running_loop().create_future()
        try:
            await self._servers.start()
            self._notices.start(answer_to(heard))
            problem = await asyncio.wait_for(heard, START_SECONDS)
            if problem is not None:
                raise problem
        except (EngineError, TimeoutError) as error:
            await self.stop()
            reason = str(error) or self._servers.refusal or "no answer in time"
            raise EngineError(f"cannot use {self._target.shown}: {reason}") from None
        self._task = asyncio.create_task(repeat(CHECK_SECONDS, self._check))

    @override
    async def stop(self) -> None:
        task, self._task = self._task, None
        await end(task)
        self._notices.stop()
        await self._servers.stop()
        self._hearing.stop()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        self._hearing.subscribe(channel, answer)

    @override
    def unsubscribe(self, channel: str) -> None:
        self._hearing.unsubscribe(channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        names = self._names(channel)
        keys: tuple[str, ...] = (names.stream, names.meta)
        if draft.key is not None:
            keys = (*keys, f"{names.stream}:{draft.key}")
        message = pack(draft)

        def published(reply: Reply | EngineError) -> None:
            if isinstance(reply, EngineError):
                answer(reply)
                return
            epoch, offset, is_new = reply[0].decode(), reply[1], reply[2]
            if is_new:
                # It is here already: no need to wait until it comes back by pub/sub.
                self._hearing.offer(channel, epoch, Publication.of(draft, offset))
            answer(Position(epoch, offset))

        self._servers.ask(
            names.stream,
            RedisCall(
                published,
                self._new_epoch(),
                message,
                payload_size(draft.data),
                names.live,
                script=self._scripts.publish,
                keys=keys,
                size=len(message),
            ),
        )

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        def have_read(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                answer(history)
            else:
                self._hearing.answer_after(channel, history, answer)

        self.look_up(channel, span, have_read)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._notices.post(notice, until, answer)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        name = f"{self._prefix}value:{key}"
        milliseconds = max(int(seconds * 1000), 1)
        call = RedisCall(when_done(answer), "SET", name, value, "PX", milliseconds, size=len(value))
        self._servers.ask(name, call)

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        name = f"{self._prefix}value:{key}"
        self._servers.ask(name, RedisCall(answer, "GETDEL", name))

    def _make_names(self, channel: str) -> ChannelKeys:
        # A hash tag ends at the first brace; and no two channels may become one.
        tag = channel.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        prefix = f"{self._prefix}{{{tag}}}"
        return ChannelKeys(f"{prefix}:s", f"{prefix}:m", f"{prefix}:live")

    def _make_notices(self, apply: Apply) -> RedisNotices:
        return RedisNotices(
            self._servers, self._prefix, self._publish_command, apply, self._new_epoch
        )

    def _new_epoch(self) -> str:
        """Name an epoch that may begin; no two have the same name."""
        return f"{self._own}{next(self._epochs):x}"

    def _received(self, reply: list[Reply]) -> None:
        """Take what has come by pub/sub: a message, or that a channel is heard now."""
        kind, name, data = reply
        channel = self._by_name.get(name)
        if kind in {b"message", b"smessage"}:
            if channel is not None:
                self._take_live(channel, data)
            elif name == self._notices.live.encode():
                self._notices.received(data)
        elif kind in {b"subscribe", b"ssubscribe"}:
            if channel is not None:
                self._hearing.confirmed(channel)
            elif name == self._notices.live.encode():
                self._notices.check()

    def _take_live(self, channel: str, data: bytes) -> None:
        offset_text, epoch_text, packed = data.split(b" ", 2)
        offset, epoch = int(offset_text), epoch_text.decode()
        if self._hearing.needs(channel, epoch, offset):
            self._hearing.offer(channel, epoch, unpack(packed, offset))

    @override
    def hear(self, channel: str) -> None:
        name = self._names(channel).live
        self._by_name[name.encode()] = channel
        self._servers.hear(name)

    @override
    def leave(self, channel: str) -> None:
        name = self._names(channel).live
        del self._by_name[name.encode()]
        self._servers.leave(name)

    @override
    def look_up(self, channel: str, span: Span, answer: Answer[History]) -> None:
        low = "-" if span.after is None else f"{span.after + 1}-0"
        high = "+" if span.before is None else f"{max(span.before - 1, 0)}-0"
        is_newest = span.after is None
        names = self._names(channel)

        def have_read(reply: Reply | EngineError) -> None:
            answer(reply if isinstance(reply, EngineError) else _history_of(reply, span))

        self._servers.ask(
            names.stream,
            RedisCall(
                have_read,
                self._new_epoch(),
                span.limit,
                *((high, low, "XREVRANGE") if is_newest else (low, high, "XRANGE")),
                script=self._scripts.read,
                keys=(names.stream, names.meta),
            ),
        )

    async def _check(self) -> None:
        self._notices.check()
        self._hearing.check_all()


def _history_of(reply: list[Reply], span: Span) -> History | EngineError:
    """Read a part of a stream, in ascending order."""
    epoch, last, *found = reply
    pairs = list(zip(found[::2], found[1::2], strict=True))
    if span.after is None:
        pairs.reverse()
    try:
        publications = [unpack(packed, int(id_.partition(b"-")[0])) for id_, packed in pairs]
    except ValueError as error:
        return EngineError(str(error))
    return History.of(Position(epoch.decode(), last), publications, span)
