"""Stores messages in JetStream: those of one round trip as one record per channel.

Each record is stored only if it follows the last one of its channel. If another node was first, the
last record is read again, and what waits goes behind it. Channels do not wait for each other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final

from nats.aio.msg import Msg

from itemwire.engines.base import ANSWER_SECONDS, Answer, EngineError
from itemwire.engines.callbacks import LATE, tell
from itemwire.engines.faults import SILENT, TOO_BIG
from itemwire.engines.nats.batches import RECORD_BYTES, ChannelQueue, NatsPublish, record_of
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import (
    LAST_SUBJECT,
    MOVED_ON,
    JetStreamProblem,
    ack_of,
    last_of,
    refusal,
    stored_of,
)
from itemwire.engines.nats.keys import IdempotencyKeys
from itemwire.engines.nats.last_records import LastRecords
from itemwire.engines.nats.records import LastRecord, encode_record
from itemwire.engines.nats.requests import NoAnswerInTime
from itemwire.engines.nats.retained import NatsRetained
from itemwire.engines.nats.streams import JetStreams
from itemwire.engines.networked import AWAY, NO_ROOM
from itemwire.engines.storage_format import pack
from itemwire.messages import Draft, Position

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 32 * 1_048_576
TURN_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 3.0  # longer than from one attempt of the write watch to the next
LONGEST_GAP: Final = 0.1
LOOK_SECONDS: Final = 0.1
WAIT_SECONDS: Final = ANSWER_SECONDS - 3 * LOOK_SECONDS

TakeStored = Callable[[str, LastRecord, list[NatsPublish]], None]
"""Receives what this node has stored, so that it need not be read back."""


class NatsPublisher:
    """Stores messages in the order they came in, channel by channel.

    A channel that something waits for has a queue, which goes through these steps, one after the
    other, until nothing waits any more (`_go_on`):

    1. Read the channel's last record, if it is not known.
    2. Take a batch, and make sure of the keys: those of the last record get entries of their own,
       and those of the batch are looked up. Messages whose key is known are answered.
    3. If the last record is of another life of the store, learn which life it is now.
    4. Store the batch as a record, on the condition that the last record is still the last. If it
       is not, forget it, put the batch back, and begin with step 1.
    """

    def __init__(
        self,
        connection: NatsConnection,
        streams: JetStreams,
        node: str,
        take_stored: TakeStored,
        *,
        mark_stale: Callable[[str], None],
        retained: NatsRetained,
    ) -> None:
        self._retained = retained
        self._connection = connection
        self._names = streams.names
        self._streams = streams
        self._keys = IdempotencyKeys(connection, streams.names)
        self._node = node
        self._take_stored = take_stored
        self._mark_stale = mark_stale
        self._epochs = count()
        self._queues: dict[str, ChannelQueue] = {}
        self.last_records: Final = LastRecords()
        self._count = 0
        self._bytes = 0
        self._is_looking = False
        self._looked_at = 0.0
        self._silence: EngineError | None = None
        self._silent_until = 0.0

    def ask(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        """Store a message; answer its position once, in time."""
        packed = pack(draft)
        publish = NatsPublish(draft, packed, answer, self._deadline())
        if not self._connection.is_ready:
            publish.settle(EngineError(AWAY))
        elif publish.cost + RECORD_BYTES > self._connection.max_payload:
            publish.settle(
                EngineError("the message is larger than the server's max_payload", TOO_BIG)
            )
        elif self._count >= MAX_WAITING or self._bytes + len(packed) > MAX_WAITING_BYTES:
            publish.settle(EngineError(NO_ROOM))
        else:
            self._wait(channel, publish)

    def make(self, channel: str, last: LastRecord, answer: Answer[Position]) -> None:
        """Give a channel an epoch, behind the record that was found last.

        Where nothing was stored just now it is refused at once, in the same way: those who join
        wait for it, and would wait twice.
        """
        if self._silence is not None and asyncio.get_running_loop().time() < self._silent_until:
            answer(self._silence)
            return
        self.last_records.put(channel, last)
        self._wait(channel, NatsPublish(None, b"", answer, self._deadline()))

    def renew(self, channel: str, oldest: float, answer: Answer[Position]) -> None:
        """Store a record without a message if the channel's last one is older than `oldest`."""
        self.last_records.forget(channel)
        self._wait(channel, NatsPublish(None, b"", answer, self._deadline(), oldest))

    def is_storing(self, channel: str) -> bool:
        """Return whether a record of the channel is on its way from this node."""
        queue = self._queues.get(channel)
        return queue is not None and bool(queue.batch)

    def yield_turn(self, message: Msg) -> None:
        """Leave another node the time to store, which was refused again and again."""
        queue = self._queues.get(message.data.decode(errors="replace"))
        if queue is not None:
            queue.yields_until = asyncio.get_running_loop().time() + TURN_SECONDS

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + WAIT_SECONDS

    def _wait(self, channel: str, publish: NatsPublish) -> None:
        self._count += 1
        self._bytes += len(publish.packed)
        queue = self._queues.get(channel)
        if queue is not None:
            queue.waiting.append(publish)
            return
        loop = asyncio.get_running_loop()
        if not self._is_looking:
            self._is_looking, self._looked_at = True, loop.time()
            loop.call_later(LOOK_SECONDS, self._look)
        queue = self._queues[channel] = ChannelQueue(channel)
        queue.waiting.append(publish)
        loop.call_soon(self._go_on, queue)  # with what else is published in this tick of the loop

    def _look(self) -> None:
        """Refuse what has waited too long, but not before answers that came meanwhile are read."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._looked_at < 2 * LOOK_SECONDS:  # else this process itself was held up
            for queue in list(self._queues.values()):
                # A record that is passed over says what the stream does, before its own time is up.
                queue.expire(EngineError(LATE, self._connection.silence_of(queue.asked)), now)
        self._looked_at = now
        self._is_looking = bool(self._queues)
        if self._is_looking:
            loop.call_later(LOOK_SECONDS, self._look)

    def _go_on(self, queue: ChannelQueue) -> None:
        """Store what waits for a channel, or drop its queue if nothing does."""
        while queue.waiting and queue.waiting[0].is_answered:
            self._release(queue.waiting.popleft())
        last = self.last_records.get(queue.channel)
        if not queue.waiting:
            del self._queues[queue.channel]
        elif last is None:
            self._read_last(queue)
        else:
            queue.take_batch(self._connection.max_payload)
            self._settle_keys(queue, last)

    def _read_last(self, queue: ChannelQueue) -> None:
        def have_read(reply: list[Msg] | EngineError) -> None:
            stored = stored_of(reply)
            if isinstance(stored, EngineError):
                queue.batch = list(queue.waiting)
                queue.waiting.clear()
                self._fail(queue, stored)
                return
            self.last_records.put(queue.channel, LastRecord.found(stored))
            self._go_on(queue)

        subject = self._names.channel(queue.channel)
        self._connection.ask(*last_of(self._names.channels, subject), have_read)

    def _settle_keys(self, queue: ChannelQueue, last: LastRecord) -> None:
        """Answer the messages that were stored before under their key; store the others."""
        keys = [publish.key for publish in queue.batch if publish.key is not None]
        if not keys and not last.keys:
            self._store_behind(queue, last)
            return

        def found(known: dict[str, Position] | EngineError) -> None:
            if isinstance(known, EngineError):
                self._fail(queue, known)
                return
            settled = last._replace(keys={})
            self.last_records.replace(queue.channel, last, settled)
            self._answer_known(queue, known)
            self._store_behind(queue, settled)

        self._keys.settle(queue.channel, last, keys, found)

    def _answer_known(self, queue: ChannelQueue, known: dict[str, Position]) -> None:
        batch, queue.batch = queue.batch, []
        for publish in batch:
            at = None if publish.key is None else known.get(publish.key)
            if at is None:
                queue.batch.append(publish)
            else:
                self._answer(publish, at)

    def _store_behind(self, queue: ChannelQueue, last: LastRecord) -> None:
        if last.epoch.startswith(self._streams.life):
            self._store(queue, last)
        else:
            self._learn_life(queue, last)

    def _learn_life(self, queue: ChannelQueue, last: LastRecord) -> None:
        """Ask which life it is before an epoch begins: else two nodes might take turns at it."""

        def learned(reply: list[Msg] | EngineError) -> None:
            stored = stored_of(reply)
            if stored is None or isinstance(stored, EngineError):
                self._fail(queue, stored or EngineError(AWAY))
            else:
                self._streams.learn(stored)
                self._store(queue, last)

        self._connection.ask(*last_of(self._names.life, self._names.life_subject), learned)

    def _store(self, queue: ChannelQueue, last: LastRecord) -> None:
        life = self._streams.life
        epoch = f"{life}{self._node}{next(self._epochs):x}"
        record = record_of(queue.batch, last, life, self._node, epoch)
        if record is None:
            have_stored = partial(self._have_stored, queue, last, is_new=False)
            asyncio.get_running_loop().call_soon(have_stored)  # no recursion
            return

        def answered(reply: list[Msg] | EngineError) -> None:
            self._note_silence(reply)
            ack = reply if isinstance(reply, EngineError) else ack_of(reply[0].data)
            if isinstance(ack, EngineError):
                self.last_records.forget(queue.channel, last)
                self._fail(queue, ack)
            elif ack.error is None:
                stored = LastRecord.of(record, ack.seq, self._streams.now)
                self.last_records.put(queue.channel, stored)
                self._streams.remember(ack.seq, record)
                self._have_stored(queue, stored, is_new=True)
            else:
                self.last_records.forget(queue.channel, last)
                self._take_refusal(queue, ack.error)

        queue.sent_at = asyncio.get_running_loop().time()
        subject = self._names.channel(queue.channel)
        follows = {LAST_SUBJECT: str(last.sequence)}
        queue.asked = self._connection.ask(subject, encode_record(record), answered, follows)

    def _note_silence(self, reply: list[Msg] | EngineError) -> None:
        """Remember for a while that the server stores nothing, until it answers somebody.

        Of those who wait meanwhile not everyone finds out why: a request that no later one has
        overtaken says nothing, and so what is known stays known.
        """
        if not isinstance(reply, EngineError):
            self._silence = None
        elif reply.fault is SILENT or (self._silence and isinstance(reply, NoAnswerInTime)):
            self._silence = self._silence or reply
            self._silent_until = asyncio.get_running_loop().time() + SILENT_SECONDS

    def _have_stored(self, queue: ChannelQueue, last: LastRecord, *, is_new: bool) -> None:
        batch, queue.batch = queue.batch, []
        messages = [publish for publish in batch if publish.draft is not None]
        tell(partial(self._take_stored, queue.channel, last), messages)
        settle = partial(self._settle_stored, queue, last, batch, is_new=is_new)
        if messages:  # until it settles, nothing else of the channel is stored
            position = Position(last.epoch, last.offset)
            self._retained.keep(queue.channel, position, messages[-1].packed, settle)
        else:
            settle(None)

    def _settle_stored(
        self,
        queue: ChannelQueue,
        last: LastRecord,
        batch: list[NatsPublish],
        problem: EngineError | None,
        *,
        is_new: bool,
    ) -> None:
        """Answer what was stored, or that its last message could not be retained; go on."""
        offset = last.offset - sum(publish.draft is not None for publish in batch)
        for publish in batch:
            offset += publish.draft is not None
            self._answer(publish, problem or Position(last.epoch, offset))
        if is_new:
            self._leave_gap(queue)
        else:
            self._go_on(queue)

    def _leave_gap(self, queue: ChannelQueue) -> None:
        """Go on, or leave another node the time to read this record and store behind it."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if queue.yields_until > now:
            pause = (now - queue.sent_at) * random.uniform(2, 4)  # noqa: S311 - no secret
            loop.call_later(min(pause, LONGEST_GAP), self._go_on, queue)
        else:
            self._go_on(queue)

    def _take_refusal(self, queue: ChannelQueue, problem: JetStreamProblem) -> None:
        if problem.err_code in MOVED_ON:
            queue.put_back()
            self._ask_for_turn(queue)
            self._go_on(queue)
        else:
            self._fail(queue, refusal(problem))

    def _ask_for_turn(self, queue: ChannelQueue) -> None:
        """Ask the nodes that publish to the channel all the time to leave a gap."""
        now = asyncio.get_running_loop().time()
        if now > queue.asked_for_turn_at + TURN_SECONDS / 2:
            queue.asked_for_turn_at = now
            self._connection.send(self._names.turns, queue.channel.encode())

    def _fail(self, queue: ChannelQueue, error: EngineError) -> None:
        """Refuse a batch; if it was stored nevertheless, it must still be delivered."""
        batch, queue.batch = queue.batch, []
        for publish in batch:
            self._answer(publish, error)
        self._mark_stale(queue.channel)
        asyncio.get_running_loop().call_soon(self._go_on, queue)  # no recursion

    def _answer(self, publish: NatsPublish, result: Position | EngineError) -> None:
        self._release(publish)
        publish.settle(result)

    def _release(self, publish: NatsPublish) -> None:
        self._count -= 1
        self._bytes -= len(publish.packed)
