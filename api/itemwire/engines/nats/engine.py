"""The engine on NATS JetStream: a channel is a subject, and what is stored is published.

JetStream republishes a record once it is stored, and that is what the other nodes receive. It may
be lost on the way: the offsets show it, and what is missing is read from the stream.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Iterable
from typing import Final

from nats.aio.msg import Msg
from typing_extensions import override

from itemwire.engines.base import NO_SINK, Answer, ChannelBounds, EngineError, History, Sink, Span
from itemwire.engines.callbacks import in_time
from itemwire.engines.nats.batches import RECORD_BYTES, NatsPublish
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import SEQUENCE, sequence_of, time_of
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.notices import NatsNotices
from itemwire.engines.nats.publishing import NatsPublisher
from itemwire.engines.nats.reading import NatsHistoryReader
from itemwire.engines.nats.records import LastRecord, Record
from itemwire.engines.nats.retained import NatsRetained
from itemwire.engines.nats.streams import IDLE_SECONDS, JetStreams
from itemwire.engines.nats.target import NatsTarget
from itemwire.engines.nats.trimming import HistoryTrimmer
from itemwire.engines.nats.values import NatsValues
from itemwire.engines.networked import NetworkedEngine, Routine
from itemwire.messages import Draft, Position, Publication

LOOK_SECONDS: Final = 10.0
CHECK_SECONDS: Final = 60.0  # the last message of a channel, if lost, is missed for so long
RENEW_SECONDS: Final = IDLE_SECONDS / 4
ROUTE_SECONDS: Final = 1.0  # until all servers of a cluster know a subscription on one of them


def open_engine(url: str, bounds: ChannelBounds) -> NatsEngine:
    """Return an engine for nats:// or tls://, not yet connected."""
    return NatsEngine(NatsTarget.of(url), bounds)


class NatsEngine(NetworkedEngine):
    """Keeps channels in JetStream, over one connection per node."""

    def __init__(self, target: NatsTarget, bounds: ChannelBounds) -> None:
        super().__init__(target.shown)
        self._target = target
        self._bounds = bounds
        self._stored_at: dict[str, float] = {}  # the last record of each subscribed channel
        self._begin(NO_SINK)

    @property
    @override
    def _notice_reader(self) -> NatsNotices:
        return self._notices

    @property
    @override
    def _is_connected(self) -> bool:
        return self._connection.is_ready

    @property
    @override
    def _is_away(self) -> bool:
        return not self._connection.is_ready

    @property
    @override
    def most_bytes(self) -> int | None:
        most = self._connection.max_payload
        return most - RECORD_BYTES if most else None

    @override
    def _begin(self, sink: Sink) -> None:
        target = self._target
        names = self._names = NatsNames(target.world)
        streams = self._streams = JetStreams(
            names, self._bounds.largest, target.replicas, is_synced=target.is_synced
        )
        connection = self._connection = NatsConnection(
            target, self._prepare, self._beat, self._take_ready
        )
        self._node = secrets.token_urlsafe(6)
        self._retained = NatsRetained(connection, names, self._bounds)
        self._publisher = NatsPublisher(
            connection,
            streams,
            self._node,
            self._take_stored,
            mark_stale=self._mark_stale,
            retained=self._retained,
        )
        self._history_reader = NatsHistoryReader(
            connection, streams, self._bounds, self._publisher.make, self._remember
        )
        self._trimmer = HistoryTrimmer(connection, names, self._bounds)
        self._values = NatsValues(connection, names)
        self._notices = NatsNotices(connection, streams, sink.apply)
        self._life = ""
        self._is_look_due = False

    @override
    async def _connect(self) -> None:
        self._connection.start()
        await self._connection.first_attempt()
        self._connection.subscribe(self._names.turns, self._publisher.yield_turn, _ignore)
        self._notices.listen()

    @override
    def _start_problem(self) -> str:
        return "" if self._connection.is_connected else self._connection.problem

    @override
    async def _disconnect(self) -> None:
        await self._connection.stop()

    @override
    def _routines(self) -> Iterable[Routine]:
        return [
            (LOOK_SECONDS, self._look),
            *self._comparing(CHECK_SECONDS),
            (RENEW_SECONDS, self._renew),
        ]

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        self._publisher.ask(channel, draft, answer)

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        subject = self._names.live_of(channel)
        answer(self._connection.send(subject, words, as_one_of=self._names.live))

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        answer = in_time(answer)

        def marked(result: Position | EngineError) -> None:
            if isinstance(result, EngineError):
                answer(result)
            else:
                last = self._publisher.last_records.get(channel)
                self._trimmer.erase(channel, last, answer)

        # A record without a message goes first: it holds the position.
        self._publisher.renew(channel, math.inf, marked)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._values.put(key, value, seconds, in_time(answer))

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._values.take(key, in_time(answer))

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        self._values.secret(in_time(answer))

    @override
    def listen(self, channel: str) -> None:
        self._stored_at[channel] = self._streams.now

        def take_live(message: Msg) -> None:
            self._take_live(channel, message)

        def confirm() -> None:
            self._subscriptions.begin_anew(channel)
            if self._target.is_cluster:
                # Until the other servers know of it, they pass nothing on.
                again = self._subscriptions.begin_anew
                asyncio.get_running_loop().call_later(ROUTE_SECONDS, again, channel)

        self._connection.subscribe(self._names.live_of(channel), take_live, confirm)

    @override
    def leave(self, channel: str) -> None:
        del self._stored_at[channel]
        self._connection.unsubscribe(self._names.live_of(channel))

    @override
    def fetch(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._history_reader.ask(channel, span, answer, is_live=True)

    @override
    def _read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        if not span.retained:
            self._history_reader.ask(channel, span, answer)
            return

        def have_read(history: History | EngineError) -> None:
            if isinstance(history, EngineError) or history.publications or history.retained:
                answer(history)
            else:
                self._retained.add_to(channel, history, answer)

        self._history_reader.ask(channel, span, have_read)

    def _mark_stale(self, channel: str) -> None:
        self._subscriptions.mark_stale(channel)

    def _take_stored(self, channel: str, last: LastRecord, batch: list[NatsPublish]) -> None:
        """Deliver what this node has stored: no need to wait until it comes back."""
        self._note_time(channel, last)
        self._trimmer.trim(channel, last)
        first = last.offset - len(batch) + 1
        for offset, one in enumerate(batch, first):
            if one.draft is not None and self._subscriptions.needs(channel, last.epoch, offset):
                publication = Publication.of(one.draft, offset)
                self._subscriptions.receive(channel, last.epoch, publication)

    def _take_live(self, channel: str, message: Msg) -> None:
        """Take a record that some node has just stored."""
        if SEQUENCE not in (message.headers or {}):  # it was only sent, not stored
            self._subscriptions.hear(channel, message.data)
            return
        record = Record.read(message.data)
        if record is None:
            return
        sequence = sequence_of(message)
        self._streams.remember(sequence, record)
        last = LastRecord.of(record, sequence, time_of(message))
        self._remember(channel, last)
        if record.node == self._node and self._publisher.is_storing(channel):
            return  # its answer delivers it; if that is lost, the channel is marked stale
        if record.messages:
            self._deliver(channel, record)
        elif self._subscriptions.needs(channel, last.epoch, last.offset):
            self._mark_stale(channel)  # an epoch may have begun

    def _deliver(self, channel: str, record: Record) -> None:
        if self._subscriptions.needs(channel, record.epoch, record.last):
            for publication in record.publications():
                self._subscriptions.receive(channel, record.epoch, publication)

    def _remember(self, channel: str, last: LastRecord) -> None:
        self._note_time(channel, last)
        self._publisher.last_records.advance(channel, last)

    def _note_time(self, channel: str, last: LastRecord) -> None:
        if channel in self._stored_at:
            self._stored_at[channel] = last.time

    async def _prepare(self) -> None:
        await self._streams.prepare(self._connection.request)
        self._publisher.last_records.clear()

    async def _beat(self) -> None:
        if self._is_look_due or self._connection.pop_found_nothing():
            self._is_look_due = False
            await self._streams.prepare(self._connection.request)
        else:
            await self._streams.check_life(self._connection.request)
        if self._streams.life != self._life:
            self._take_ready()

    def _take_ready(self) -> None:
        """Compare everything: the server was away, or has lost what it had."""
        self._life = self._streams.life
        self._compare_now()

    async def _look(self) -> None:
        """Check that the streams still exist, and that no notice was missed."""
        self._is_look_due = True
        self._notices.check()

    async def _renew(self) -> None:
        """Keep subscribed channels from being forgotten, by a record without a message."""
        oldest = self._streams.now - self._streams.channel_seconds / 2
        for channel in [name for name, time in self._stored_at.items() if time < oldest]:
            self._stored_at[channel] = self._streams.now
            self._publisher.renew(channel, oldest, _ignore_result)


def _ignore() -> None:
    """Need no confirmation: a node whose call for a turn was lost calls again."""


def _ignore_result(_result: Position | EngineError) -> None:
    """Leave it: a channel that could not be renewed is tried again the next time."""
