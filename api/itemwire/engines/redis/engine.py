"""The engine on Redis or Valkey: what one node publishes reaches every node.

Publishing is one atomic script per message, sent with all others of the same loop tick. Live
messages come by pub/sub, which may lose them: the offsets show it, and what is missing is read from
the stream.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple

from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    Answer,
    Apply,
    Bounds,
    ChannelBounds,
    EngineError,
    History,
    Sink,
    Span,
    new_secret,
)
from itemwire.engines.callbacks import when_done
from itemwire.engines.networked import NetworkedEngine, Routine
from itemwire.engines.redis.client import Reply, Word
from itemwire.engines.redis.copies import unmarked
from itemwire.engines.redis.notices import RedisNotices
from itemwire.engines.redis.requests import RedisCall
from itemwire.engines.redis.scripts import POSITIONS, ChannelScripts, idle_ms
from itemwire.engines.redis.servers import RedisServers
from itemwire.engines.redis.target import RedisTarget
from itemwire.engines.storage_format import pack, unpack, unpack_retained
from itemwire.messages import Draft, Position, Publication, message_size

TOLD: Final = b"> "  # before what is told and not stored: no message begins like this
CHECK_SECONDS: Final = 10.0  # the last message of a channel, if lost, is missed for so long


class ChannelKeys(NamedTuple):
    """What Redis knows a channel by: three keys and a pub/sub channel, all in one slot."""

    stream: str
    meta: str
    live: str
    retained: str


def tag_of(channel: str) -> str:
    """Return the hash tag of a channel's keys, by which servers and slots are chosen.

    A tag ends at the first brace; and no two channels may get the same.
    """
    return channel.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")


class RedisEngine(NetworkedEngine):
    """Keeps channels on a Redis or Valkey server, or on a cluster of them."""

    def __init__(self, target: RedisTarget, bounds: ChannelBounds) -> None:
        super().__init__(target.shown)
        self._target = target
        self._publish_command = "SPUBLISH" if target.is_cluster else "PUBLISH"
        self._prefix = target.prefix
        self._keys = lru_cache(maxsize=10_000)(self._make_keys)
        self._bounds = bounds
        self._scripts_of = lru_cache(maxsize=256)(self._make_scripts)  # one for each rule
        self._channels: dict[bytes, str] = {}  # by their pub/sub channel
        self._epochs = count()
        self._begin(NO_SINK)

    @property
    @override
    def _notice_reader(self) -> RedisNotices:
        return self._notices

    @property
    @override
    def _is_connected(self) -> bool:
        return self._servers.is_connected

    @property
    @override
    def _is_away(self) -> bool:
        return self._servers.is_away

    @override
    def _begin(self, sink: Sink) -> None:
        self._node = secrets.token_urlsafe(6)  # in the names of the epochs that begin here
        self._servers = RedisServers(self._target, self._take_push)
        self._notices = RedisNotices(
            self._servers,
            self._prefix,
            self._publish_command,
            self._apply_of(sink),
            self._new_epoch,
        )

    def _apply_of(self, sink: Sink) -> Apply:
        """Return what takes notices; those of several servers may be kept here from before."""
        return lambda notice: sink.apply(unmarked(notice))

    @override
    async def _connect(self) -> None:
        await self._servers.start()
        self._servers.listen(self._notices.live)  # once it is confirmed, the notices are read

    @override
    async def _disconnect(self) -> None:
        await self._servers.stop()

    @override
    def _start_problem(self) -> str:
        return self._servers.start_problem

    @override
    def _routines(self) -> Iterable[Routine]:
        return self._comparing(CHECK_SECONDS)

    @override
    def compare(self, channels: list[str]) -> None:
        if self._target.is_cluster:  # a script may look at one slot
            super().compare(channels)
            return
        for idle, group in _by(self._idle_of, channels).items():
            self._compare_at_once(group, idle)

    def _compare_at_once(self, channels: list[str], idle: int) -> None:
        def have_read(reply: Reply | EngineError) -> None:
            if isinstance(reply, EngineError):
                self._subscriptions.compare(channels)  # which is repeated until it succeeds
                return
            for channel, epoch, offset in zip(channels, reply[::2], reply[1::2], strict=True):
                position = None if epoch is None else Position(epoch.decode(), offset)
                self._subscriptions.take_position(channel, position)

        metas = tuple(self._keys(channel).meta for channel in channels)
        self._servers.ask(metas[0], RedisCall(have_read, idle, script=POSITIONS, keys=metas))

    def _idle_of(self, channel: str) -> int:
        return idle_ms(self._bounds.of(channel))

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        names = self._keys(channel)
        bounds = self._bounds.of(channel)
        keys: tuple[str, ...] = (names.stream, names.meta)
        if bounds.retained:
            keys = (*keys, names.retained)
        if draft.key is not None:
            keys = (*keys, f"{names.stream}:{draft.key}")
        message = pack(draft)

        def published(reply: Reply | EngineError) -> None:
            if isinstance(reply, EngineError):
                answer(reply)
                return
            epoch, offset, is_new = reply[0].decode(), reply[1], reply[2]
            if is_new:
                # It is known here: no need to wait until it comes back by pub/sub.
                self._subscriptions.receive(channel, epoch, Publication.of(draft, offset))
            answer(Position(epoch, offset))

        self._servers.ask(
            names.stream,
            RedisCall(
                published,
                self._new_epoch(),
                message,
                message_size(draft),
                names.live,
                script=self._scripts_of(bounds).publish,
                keys=keys,
                size=len(message),
            ),
        )

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        name = self._keys(channel).live
        call = (self._publish_command, name, TOLD + words)
        self._servers.ask(name, RedisCall(when_done(answer), *call, size=len(words)))

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        names = self._keys(channel)
        call = RedisCall(when_done(answer), "DEL", names.stream, names.retained)
        self._servers.ask(names.stream, call)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        name = f"{self._prefix}value:{key}"
        milliseconds = max(int(seconds * 1000), 1)
        words = ("SET", name, value, "PX", milliseconds)
        self._servers.ask(name, RedisCall(when_done(answer), *words, size=len(value)))

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        name = f"{self._prefix}value:{key}"
        self._servers.ask(name, RedisCall(answer, "GETDEL", name))

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        def have_looked(found: Reply | EngineError) -> None:
            if found is None:  # whichever node is first, its secret stays
                self._ask_secret("SET", made, new_secret(), "NX")
            else:
                answer(found)

        def made(outcome: Reply | EngineError) -> None:
            if isinstance(outcome, EngineError):
                answer(outcome)
            else:
                self._ask_secret("GET", answer)

        # Looked for first: a server that is full refuses every SET, and may have a secret.
        self._ask_secret("GET", have_looked)

    def _ask_secret(
        self, command: str, answer: Callable[[Reply | EngineError], None], *words: Word
    ) -> None:
        name = f"{self._prefix}secret"
        self._servers.ask(name, RedisCall(answer, command, name, *words))

    def _make_scripts(self, bounds: Bounds) -> ChannelScripts:
        return ChannelScripts.of(bounds, self._publish_command, self._target.life_key)

    def _make_keys(self, channel: str) -> ChannelKeys:
        prefix = f"{self._prefix}{{{tag_of(channel)}}}"
        return ChannelKeys(f"{prefix}:s", f"{prefix}:m", f"{prefix}:live", f"{prefix}:r")

    def _new_epoch(self) -> str:
        """Return a name for an epoch that may begin; no two are the same."""
        return f"{self._node}{next(self._epochs):x}"

    def _take_push(self, push: list[Reply]) -> None:
        """Take what came by pub/sub: a message, or the confirmation that listening has begun."""
        kind, name, data = push
        channel = self._channels.get(name)
        if kind in {b"message", b"smessage"}:
            if channel is not None:
                self._take_live(channel, data)
            elif name == self._notices.live.encode():
                self._notices.receive_live(data)
        elif kind in {b"subscribe", b"ssubscribe"}:
            if channel is not None:
                self._subscriptions.begin_anew(channel)
            elif name == self._notices.live.encode():
                self._notices.check()

    def _take_live(self, channel: str, data: bytes) -> None:
        if data.startswith(TOLD):
            self._subscriptions.hear(channel, data.removeprefix(TOLD))
            return
        try:
            offset_text, epoch_text, packed = data.split(b" ", 2)
            offset, epoch = int(offset_text), epoch_text.decode()
            if self._subscriptions.needs(channel, epoch, offset):
                self._subscriptions.receive(channel, epoch, unpack(packed, offset))
        except ValueError:  # it is not ours: what is stored says what there is
            self._subscriptions.mark_stale(channel)

    @override
    def listen(self, channel: str) -> None:
        name = self._keys(channel).live
        self._channels[name.encode()] = channel
        self._servers.listen(name)

    @override
    def leave(self, channel: str) -> None:
        name = self._keys(channel).live
        del self._channels[name.encode()]
        self._servers.leave(name)

    @override
    def fetch(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._read(channel, span, answer)  # the stream is trimmed to the history's bounds

    @override
    def _read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        low = "-" if span.after is None else f"{span.after + 1}-0"
        high = "+" if span.before is None else f"{max(span.before - 1, 0)}-0"
        is_newest = span.after is None
        names = self._keys(channel)

        def have_read(reply: Reply | EngineError) -> None:
            answer(reply if isinstance(reply, EngineError) else _history_of(reply, span))

        self._servers.ask(
            names.stream,
            RedisCall(
                have_read,
                self._new_epoch(),
                span.limit,
                *((high, low, "XREVRANGE") if is_newest else (low, high, "XRANGE")),
                script=self._scripts_of(self._bounds.of(channel)).read,
                keys=(names.stream, names.meta, names.retained)[: 3 if span.retained else 2],
            ),
        )


def _by(key: Callable[[str], int], names: Iterable[str]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


def _history_of(reply: list[Reply], span: Span) -> History | EngineError:
    """Return the part of a stream that was read, in ascending order."""
    epoch, last, kept, *found = reply
    position = Position(epoch.decode(), last)
    pairs = list(zip(found[::2], found[1::2], strict=True))
    if span.after is None:
        pairs.reverse()
    try:
        publications = [unpack(packed, int(id_.partition(b"-")[0])) for id_, packed in pairs]
        retained = None if kept is None else unpack_retained(kept, position)
    except ValueError as error:
        return EngineError(str(error))
    return History.of(position, publications, span, retained)
