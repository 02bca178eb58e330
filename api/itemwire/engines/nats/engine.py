"""The engine on NATS JetStream: a channel is a subject, and what is stored is published.

JetStream republishes a record once it is stored, and that is what other nodes hear. It may be lost
on the way: offsets tell, and what is missing is read from the stream.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import Final

from nats.aio.msg import Msg
from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    Answer,
    Bounds,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.engines.callbacks import answer_to, in_time
from itemwire.engines.nats.batches import NatsPublish, Went
from itemwire.engines.nats.link import NatsConnection
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.notices import NatsNotices
from itemwire.engines.nats.publishing import NatsPublisher
from itemwire.engines.nats.reading import SEQUENCE, NatsHistoryReader, time_of
from itemwire.engines.nats.records import LastRecord, Record
from itemwire.engines.nats.streams import IDLE_SECONDS, JetStreams
from itemwire.engines.nats.target import NatsTarget
from itemwire.engines.nats.trimming import HistoryTrimmer
from itemwire.engines.nats.values import NatsValues
from itemwire.engines.subscriptions import ChannelSource, Subscriptions
from itemwire.engines.tasks import end, repeat
from itemwire.messages import Draft, Position, Publication

START_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 10.0
CHECK_SECONDS: Final = 60.0  # a lost message of a channel that is quiet since is missed so long
RENEW_SECONDS: Final = IDLE_SECONDS / 4
STALE_SECONDS: Final = 0.05
ROUTE_SECONDS: Final = 1.0  # until all servers of a cluster know what is heard on one


def open_engine(url: str, bounds: Bounds) -> NatsEngine:
    """Make an engine for nats:// or tls://; nothing connects yet."""
    return NatsEngine(NatsTarget.of(url), bounds)


class NatsEngine(Engine, ChannelSource):
    """Keeps channels in JetStream, by one connection of a node."""

    def __init__(self, target: NatsTarget, bounds: Bounds) -> None:
        self._target = target
        self._bounds = bounds
        self._tasks: list[asyncio.Task[None]] = []
        self._heard: dict[str, float] = {}  # when something was last stored there
        self._begin_anew(NO_SINK)

    def _begin_anew(self, sink: Sink) -> None:
        target = self._target
        names = self._names = NatsNames(target.world)
        streams = self._streams = JetStreams(
            names, self._bounds, target.replicas, is_synced=target.is_synced
        )
        link = self._link = NatsConnection(target, self._prepare, self._beat, self._ready)
        self._node = secrets.token_urlsafe(6)
        self._publishing = NatsPublisher(link, streams, self._node, self._took, self._doubt)
        self._reading = NatsHistoryReader(link, streams, self._bounds, self._make, self._saw)
        self._trimming = HistoryTrimmer(link, names, self._bounds)
        self._values = NatsValues(link, names)
        self._notices = NatsNotices(link, names, sink.apply)
        self._hearing = Subscriptions(self, sink)
        self._life = ""
        self._is_look_due = False

    @property
    @override
    def is_available(self) -> bool:
        return bool(self._tasks) and self._link.is_ready

    @override
    async def start(self, sink: Sink) -> None:
        await self.stop()
        self._begin_anew(sink)
        heard: asyncio.Future[EngineError | None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._link.start()
                self._link.hear(self._names.turns, self._publishing.yield_turn, _no_matter)
                self._notices.start(answer_to(heard))
                problem = await heard
            if problem is not None:
                raise problem
        except (EngineError, TimeoutError) as error:
            await self.stop()
            reason = str(error) or "no answer in time"
            raise EngineError(f"cannot use {self._target.shown}: {reason}") from None
        self._tasks = [
            asyncio.create_task(repeat(LOOK_SECONDS, self._look)),
            asyncio.create_task(repeat(CHECK_SECONDS, self._compare)),
            asyncio.create_task(repeat(RENEW_SECONDS, self._renew)),
        ]

    @override
    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        self._notices.stop()
        self._hearing.stop()
        await self._link.stop()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        if channel in self._heard or self._link.is_ready:
            self._hearing.subscribe(channel, answer)
        else:
            answer(EngineError("the engine is away"))

    @override
    def unsubscribe(self, channel: str) -> None:
        self._hearing.unsubscribe(channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        self._publishing.ask(channel, draft, partial(_tell_position, answer))

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        answer = in_time(answer)
        least = self._hearing.position_of(channel)

        def have_read(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                answer(history)
            elif least is not None and _is_behind(history.position, least):
                # A replica has answered that has less than was delivered here.
                loop = asyncio.get_running_loop()
                loop.call_later(STALE_SECONDS, self._reading.ask, channel, span, have_read)
            else:
                self._hearing.answer_after(channel, history, answer)

        self._reading.ask(channel, span, have_read)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._notices.post(notice, until, answer)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._values.put(key, value, seconds, in_time(answer))

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._values.take(key, in_time(answer))

    @override
    def hear(self, channel: str) -> None:
        self._heard[channel] = self._streams.now

        def received(message: Msg) -> None:
            self._received(channel, message)

        def confirmed() -> None:
            self._hearing.confirmed(channel)
            if self._target.is_cluster:
                loop = asyncio.get_running_loop()
                loop.call_later(ROUTE_SECONDS, self._hearing.confirmed, channel)

        self._link.hear(self._names.live_of(channel), received, confirmed)

    @override
    def leave(self, channel: str) -> None:
        del self._heard[channel]
        self._link.leave(self._names.live_of(channel))

    @override
    def look_up(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._reading.ask(channel, span, answer, is_live=True)

    def _took(self, channel: str, tip: LastRecord, asked: list[NatsPublish]) -> None:
        """Deliver what was stored from here: no need to wait until it comes back."""
        self._note(channel, tip)
        self._trimming.stored(channel, tip)
        first = tip.offset - len(asked) + 1
        for offset, one in enumerate(asked, first):
            if one.draft is not None and self._hearing.needs(channel, tip.epoch, offset):
                self._hearing.offer(channel, tip.epoch, Publication.of(one.draft, offset))

    def _received(self, channel: str, message: Msg) -> None:
        """Take a record that has just been stored, by whatever node."""
        record = Record.read(message.data)
        if record is None:
            return
        sequence = int((message.headers or {})[SEQUENCE])
        self._streams.saw(sequence, record)
        tip = LastRecord.of(record, sequence, time_of(message))
        self._saw(channel, tip)
        if record.node == self._node and self._publishing.awaits(channel):
            return  # its answer delivers it, or a look at the channel if that is lost
        if not record.messages:
            self._offer_nothing(channel, tip)
        elif self._hearing.needs(channel, record.epoch, record.last):
            for publication in record.publications():
                self._hearing.offer(channel, record.epoch, publication)

    def _offer_nothing(self, channel: str, tip: LastRecord) -> None:
        """Hear of a record without a message: an epoch may have begun."""
        if self._hearing.needs(channel, tip.epoch, tip.offset):
            self._hearing.confirmed(channel)

    def _saw(self, channel: str, tip: LastRecord) -> None:
        self._note(channel, tip)
        self._publishing.tips.saw(channel, tip)

    def _note(self, channel: str, tip: LastRecord) -> None:
        if channel in self._heard:
            self._heard[channel] = tip.time

    def _doubt(self, channel: str) -> None:
        self._hearing.confirmed(channel)

    def _make(self, channel: str, tip: LastRecord, made: Answer[Position]) -> None:
        self._publishing.make(channel, tip, partial(_tell_position, made))

    async def _prepare(self) -> None:
        await self._streams.prepare(self._link.request)
        self._publishing.tips.clear()

    async def _beat(self) -> None:
        if self._is_look_due or self._link.take_absence():
            self._is_look_due = False
            await self._streams.prepare(self._link.request)
        else:
            await self._streams.check_life(self._link.request)
        if self._streams.life != self._life:
            self._ready()

    def _ready(self) -> None:
        """Compare everything: the server was away, or has lost what it had."""
        life, self._life = self._life, self._streams.life
        if life in {"", self._life}:
            self._notices.check()
        else:
            self._notices.begin_anew()
        self._hearing.check_all()

    async def _look(self) -> None:
        """See that all is there still, and that no notice was missed."""
        self._is_look_due = True
        self._notices.check()

    async def _compare(self) -> None:
        self._hearing.check_all()

    async def _renew(self) -> None:
        """Keep channels that are heard from being forgotten, by a record without a message."""
        oldest = self._streams.now - self._streams.channel_seconds / 2
        for channel in [name for name, time in self._heard.items() if time < oldest]:
            self._heard[channel] = self._streams.now
            self._publishing.renew(channel, oldest, _no_answer)


def _tell_position(answer: Answer[Position], went: Went | EngineError) -> None:
    answer(went if isinstance(went, EngineError) else Position(went.epoch, went.offset))


def _is_behind(position: Position, least: Position) -> bool:
    return position.epoch == least.epoch and position.offset < least.offset


def _no_matter() -> None:
    """Need no confirmation: who is not heard calls again."""


def _no_answer(_went: Went | EngineError) -> None:
    """Wait for nothing: it is looked at again."""
