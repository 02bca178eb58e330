"""Stores messages in JetStream: all that came in a round trip, as one record a channel.

Each record is stored only if it follows the last one of its channel. Where another node was first,
the last record is read again and what waits goes behind it. Channels do not wait for each other.
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
from itemwire.engines.callbacks import tell
from itemwire.engines.nats.batches import RECORD_BYTES, ChannelQueue, NatsPublish, Went, record_of
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
from itemwire.engines.nats.link import NatsConnection
from itemwire.engines.nats.records import LastRecord, encode_record, tip_of
from itemwire.engines.nats.streams import JetStreams
from itemwire.engines.storage_format import pack
from itemwire.messages import Draft, Position

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 32 * 1_048_576
TURN_SECONDS: Final = 1.0
LONGEST_GAP: Final = 0.1
LOOK_SECONDS: Final = 0.1
WAIT_SECONDS: Final = ANSWER_SECONDS - 3 * LOOK_SECONDS

Take = Callable[[str, LastRecord, list[NatsPublish]], None]
"""Where it is said what was stored from here, and that nobody else has to read it."""


class NatsPublisher:
    """Stores messages in the order they came in, channel by channel."""

    def __init__(
        self,
        link: NatsConnection,
        streams: JetStreams,
        node: str,
        took: Take,
        doubt: Callable[[str], None],
    ) -> None:
        self._link = link
        self._names = streams.names
        self._streams = streams
        self._keys = IdempotencyKeys(link, streams.names)
        self._node = node
        self._took = took
        self._doubt = doubt
        self._epochs = count()
        self._lanes: dict[str, ChannelQueue] = {}
        self.tips: Final = LastRecords()
        self._count = 0
        self._bytes = 0
        self._is_looking = False
        self._looked_at = 0.0

    def ask(self, channel: str, draft: Draft, answer: Answer[Went]) -> None:
        """Store a message; answer once, in time."""
        packed = pack(draft)
        asked = NatsPublish(draft, packed, answer, self._deadline())
        if not self._link.is_ready:
            asked.tell(EngineError("the engine is away"))
        elif asked.cost + RECORD_BYTES > self._link.max_payload:
            asked.tell(EngineError("the message is larger than the server's max_payload"))
        elif self._count >= MAX_WAITING or self._bytes + len(packed) > MAX_WAITING_BYTES:
            asked.tell(EngineError("more waits for the engine than there is room for"))
        else:
            self._wait(channel, asked)

    def make(self, channel: str, tip: LastRecord, answer: Answer[Went]) -> None:
        """See that a channel has an epoch, behind the record that was found last."""
        self.tips.know(channel, tip)
        self._wait(channel, NatsPublish(None, b"", answer, self._deadline()))

    def renew(self, channel: str, oldest: float, answer: Answer[Went]) -> None:
        """See that a channel's last record is not older; what is known of it is read again."""
        self.tips.forget(channel)
        self._wait(channel, NatsPublish(None, b"", answer, self._deadline(), oldest))

    def awaits(self, channel: str) -> bool:
        """Tell whether a record of the channel is on its way."""
        lane = self._lanes.get(channel)
        return lane is not None and bool(lane.batch)

    def yield_turn(self, message: Msg) -> None:
        """Hear that another node cannot get in; leave it the time to."""
        lane = self._lanes.get(message.data.decode())
        if lane is not None:
            lane.yields_until = asyncio.get_running_loop().time() + TURN_SECONDS

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + WAIT_SECONDS

    def _wait(self, channel: str, asked: NatsPublish) -> None:
        self._count += 1
        self._bytes += len(asked.packed)
        lane = self._lanes.get(channel)
        if lane is not None:
            lane.waiting.append(asked)
            return
        loop = asyncio.get_running_loop()
        if not self._is_looking:
            self._is_looking, self._looked_at = True, loop.time()
            loop.call_later(LOOK_SECONDS, self._look)
        lane = self._lanes[channel] = ChannelQueue(channel)
        lane.waiting.append(asked)
        loop.call_soon(self._go_on, lane)  # with what else is published in this tick of the loop

    def _look(self) -> None:
        """Answer what has waited too long, but not before what came while nothing ran here."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._looked_at < 2 * LOOK_SECONDS:
            for lane in list(self._lanes.values()):
                lane.expire(now)
        self._looked_at = now
        self._is_looking = bool(self._lanes)
        if self._is_looking:
            loop.call_later(LOOK_SECONDS, self._look)

    def _go_on(self, lane: ChannelQueue) -> None:
        """Store what waits for a channel, if something does."""
        while lane.waiting and lane.waiting[0].is_answered:
            self._let_go(lane.waiting.popleft())
        tip = self.tips.get(lane.channel)
        if not lane.waiting:
            del self._lanes[lane.channel]
        elif tip is None:
            self._read_tip(lane)
        else:
            lane.take_batch(self._link.max_payload)
            self._find_keys(lane, tip)

    def _read_tip(self, lane: ChannelQueue) -> None:
        def have_read(reply: list[Msg] | EngineError) -> None:
            stored = reply if isinstance(reply, EngineError) else stored_of(reply[0].data)
            if isinstance(stored, EngineError):
                lane.batch = list(lane.waiting)
                lane.waiting.clear()
                self._fail(lane, stored)
                return
            self.tips.know(lane.channel, tip_of(stored))
            self._go_on(lane)

        subject = self._names.channel(lane.channel)
        self._link.ask(*last_of(self._names.channels, subject), have_read)

    def _find_keys(self, lane: ChannelQueue, tip: LastRecord) -> None:
        """Answer what was stored before under its key; store the others."""
        keys = [asked.key for asked in lane.batch if asked.key is not None]
        if not keys and not tip.keys:
            self._go_behind(lane, tip)
            return

        def found(known: dict[str, Position] | EngineError) -> None:
            if isinstance(known, EngineError):
                self._fail(lane, known)
                return
            settled = tip._replace(keys={})
            self.tips.replace(lane.channel, tip, settled)
            self._answer_known(lane, known)
            self._go_behind(lane, settled)

        self._keys.settle(lane.channel, tip, keys, found)

    def _answer_known(self, lane: ChannelQueue, known: dict[str, Position]) -> None:
        batch, lane.batch = lane.batch, []
        for asked in batch:
            at = None if asked.key is None else known.get(asked.key)
            if at is None:
                lane.batch.append(asked)
            else:
                self._answer(asked, Went(at.epoch, at.offset))

    def _go_behind(self, lane: ChannelQueue, tip: LastRecord) -> None:
        if not tip.epoch.startswith(self._streams.life):
            self._check_life(lane, tip)
        else:
            self._store(lane, tip)

    def _check_life(self, lane: ChannelQueue, tip: LastRecord) -> None:
        """Ask again before an epoch begins: else two nodes might take turns at it."""

        def checked(reply: list[Msg] | EngineError) -> None:
            stored = reply if isinstance(reply, EngineError) else stored_of(reply[0].data)
            if stored is None or isinstance(stored, EngineError):
                self._fail(lane, stored or EngineError("the engine is away"))
            else:
                self._streams.learn(stored)
                self._store(lane, tip)

        self._link.ask(*last_of(self._names.life, self._names.life_subject), checked)

    def _store(self, lane: ChannelQueue, tip: LastRecord) -> None:
        life = self._streams.life
        epoch = f"{life}{self._node}{next(self._epochs):x}"
        record = record_of(lane.batch, tip, life, self._node, epoch)
        if record is None:
            have_stored = partial(self._have_stored, lane, tip, is_new=False)
            asyncio.get_running_loop().call_soon(have_stored)  # not deeper and deeper
            return

        def answered(reply: list[Msg] | EngineError) -> None:
            ack = reply if isinstance(reply, EngineError) else ack_of(reply[0].data)
            if isinstance(ack, EngineError):
                self.tips.forget(lane.channel, tip)
                self._fail(lane, ack)
            elif ack.error is None:
                stored = LastRecord.of(record, ack.seq, self._streams.now)
                self.tips.know(lane.channel, stored)
                self._streams.saw(ack.seq, record)
                self._have_stored(lane, stored, is_new=True)
            else:
                self.tips.forget(lane.channel, tip)
                self._refused(lane, ack.error)

        lane.sent_at = asyncio.get_running_loop().time()
        subject = self._names.channel(lane.channel)
        follows = {LAST_SUBJECT: str(tip.sequence)}
        self._link.ask(subject, encode_record(record), answered, follows)

    def _have_stored(self, lane: ChannelQueue, tip: LastRecord, *, is_new: bool) -> None:
        batch, lane.batch = lane.batch, []
        messages = [asked for asked in batch if asked.draft is not None]
        tell(partial(self._took, lane.channel, tip), messages)
        offset = tip.offset - len(messages)
        for asked in batch:
            offset += asked.draft is not None
            self._answer(asked, Went(tip.epoch, offset))
        if is_new:
            self._leave_gap(lane)
        else:
            self._go_on(lane)

    def _leave_gap(self, lane: ChannelQueue) -> None:
        """Go on, or let another node have its turn: the time to read this record and follow it."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if lane.yields_until > now:
            pause = (now - lane.sent_at) * random.uniform(2, 4)  # noqa: S311 - no secret
            loop.call_later(min(pause, LONGEST_GAP), self._go_on, lane)
        else:
            self._go_on(lane)

    def _refused(self, lane: ChannelQueue, problem: JetStreamProblem) -> None:
        if problem.err_code in MOVED_ON:
            lane.put_back()
            self._call_for_turn(lane)
            self._go_on(lane)
        else:
            self._fail(lane, refusal(problem))

    def _call_for_turn(self, lane: ChannelQueue) -> None:
        """Ask whoever publishes to the channel all the time to leave a gap."""
        now = asyncio.get_running_loop().time()
        if now > lane.called_at + TURN_SECONDS / 2:
            lane.called_at = now
            self._link.tell(self._names.turns, lane.channel.encode())

    def _fail(self, lane: ChannelQueue, error: EngineError) -> None:
        """Say that nobody knows; what was stored all the same is still to be delivered."""
        batch, lane.batch = lane.batch, []
        for asked in batch:
            self._answer(asked, error)
        self._doubt(lane.channel)
        asyncio.get_running_loop().call_soon(self._go_on, lane)  # not deeper and deeper

    def _answer(self, asked: NatsPublish, result: Went | EngineError) -> None:
        self._let_go(asked)
        asked.tell(result)

    def _let_go(self, asked: NatsPublish) -> None:
        self._count -= 1
        self._bytes -= len(asked.packed)
