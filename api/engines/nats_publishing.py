"""What waits to be stored in JetStream: one record a channel and round trip, of all that came.

Each record is stored only if it follows the last one of its channel. Where another node was first,
the last record is read again and what waits goes behind it. Channels do not wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

from nats.aio.msg import Msg

from api.engines.base import ANSWER_SECONDS, Answer, EngineError
from api.engines.nats_keys import Keys
from api.engines.nats_link import Link
from api.engines.nats_records import Record, Tip, encode_record
from api.engines.nats_streams import (
    LAST_SUBJECT,
    MOVED_ON,
    Names,
    Streams,
    ack_of,
    last_of,
    refusal,
    stored_of,
)
from api.engines.packing import pack
from api.messages import Draft, Position, payload_size

logger = logging.getLogger("itemwire.engines")

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 32 * 1_048_576
MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 256 * 1024
RECORD_BYTES: Final = 4096  # what a record costs at most beside its messages, without keys
MAX_TIPS: Final = 10_000
TURN_SECONDS: Final = 1.0


class Stored(NamedTuple):
    """Where a message went."""

    epoch: str
    offset: int
    is_new: bool


@dataclass(slots=True, eq=False)
class Asked:
    """A message that waits; without one, the channel is only to be there, and not to be old."""

    draft: Draft | None
    packed: bytes
    answer: Answer[Stored]
    until: float
    oldest: float = 0.0

    @property
    def key(self) -> str | None:
        """Give what it may be known by."""
        return None if self.draft is None else self.draft.key


@dataclass(slots=True, eq=False)
class Lane:
    """What waits for one channel; one record at a time is on its way."""

    channel: str
    waiting: deque[Asked] = field(default_factory=deque)
    yields_until: float = 0.0
    called_at: float = 0.0
    sent_at: float = 0.0


class Publishing:
    """Stores messages in the order they came in, channel by channel."""

    def __init__(
        self,
        link: Link,
        names: Names,
        streams: Streams,
        node: str,
        went: Callable[[str, Tip, list[Asked]], None],
        doubt: Callable[[str], None],
    ) -> None:
        self._link = link
        self._names = names
        self._streams = streams
        self._keys = Keys(link, names)
        self._node = node
        self._went = went
        self._doubt = doubt
        self._epochs = count()
        self._lanes: dict[str, Lane] = {}
        self._tips: OrderedDict[str, Tip] = OrderedDict()
        self._count = 0
        self._bytes = 0

    def ask(self, channel: str, draft: Draft, answer: Answer[Stored]) -> None:
        """Store a message; answer once."""
        packed = pack(draft)
        if not self._link.is_ready:
            answer(EngineError("the engine is away"))
        elif len(packed) + RECORD_BYTES > self._link.max_payload:
            answer(EngineError("the message is larger than the server's max_payload"))
        elif self._count >= MAX_WAITING or self._bytes + len(packed) > MAX_WAITING_BYTES:
            answer(EngineError("more waits for the engine than there is room for"))
        else:
            self._wait(channel, Asked(draft, packed, answer, _deadline()))

    def make(self, channel: str, answer: Answer[Stored], oldest: float = 0.0) -> None:
        """See that a channel has an epoch, by a record that is not older; answer where it stands.

        What is known here of the channel is not trusted: it is read.
        """
        self._tips.pop(channel, None)
        self._wait(channel, Asked(None, b"", answer, _deadline(), oldest))

    def saw(self, channel: str, tip: Tip) -> None:
        """Hear of a record that another node has stored."""
        known = self._tips.get(channel)
        if known is not None and known.sequence < tip.sequence:
            self._tips[channel] = tip

    def yield_turn(self, message: Msg) -> None:
        """Hear that another node cannot get in; leave it the time to."""
        lane = self._lanes.get(message.data.decode())
        if lane is not None:
            lane.yields_until = asyncio.get_running_loop().time() + TURN_SECONDS

    def forget(self) -> None:
        """Forget what is known of channels: the store may be another one."""
        self._tips.clear()

    def _wait(self, channel: str, asked: Asked) -> None:
        self._count += 1
        self._bytes += len(asked.packed)
        lane = self._lanes.get(channel)
        if lane is not None:
            lane.waiting.append(asked)
            return
        lane = self._lanes[channel] = Lane(channel)
        lane.waiting.append(asked)
        # What else is published in this tick of the loop goes with it.
        asyncio.get_running_loop().call_soon(self._go_on, lane)

    def _go_on(self, lane: Lane) -> None:
        """Store what waits for a channel, if something does."""
        now = asyncio.get_running_loop().time()
        while lane.waiting and lane.waiting[0].until < now:
            self._answer(lane.waiting.popleft(), EngineError("the engine did not answer in time"))
        if not lane.waiting:
            del self._lanes[lane.channel]
            return
        tip = self._tips.get(lane.channel)
        if tip is None:
            self._read_tip(lane)
            return
        self._tips.move_to_end(lane.channel)
        self._find_keys(lane, tip, self._take_batch(lane))

    def _read_tip(self, lane: Lane) -> None:
        def have_read(reply: list[Msg] | EngineError) -> None:
            stored = reply if isinstance(reply, EngineError) else stored_of(reply[0].data)
            if isinstance(stored, EngineError):
                self._fail(lane, list(lane.waiting), stored)
                lane.waiting.clear()
                self._go_on(lane)
                return
            if stored is None:
                tip = Tip.of(None, 0, 0.0)
            else:
                tip = Tip.of(Record.read(stored.data), stored.sequence, stored.time)
            self._know(lane.channel, tip)
            self._go_on(lane)

        subject = self._names.channel(lane.channel)
        self._link.ask(*last_of(self._names.channels, subject), have_read)

    def _take_batch(self, lane: Lane) -> list[Asked]:
        """Take as many as one record holds; a key is in it once."""
        batch: list[Asked] = []
        size = 0
        limit = min(MAX_BATCH_BYTES, self._link.max_payload - RECORD_BYTES)
        keys: set[str] = set()
        while lane.waiting and len(batch) < MAX_BATCH:
            asked = lane.waiting[0]
            key = asked.key
            cost = len(asked.packed) + (0 if key is None else len(key) + 16)
            if batch and (size + cost > limit or key in keys):
                break
            if key is not None:
                keys.add(key)
            size += cost
            batch.append(lane.waiting.popleft())
        return batch

    def _find_keys(self, lane: Lane, tip: Tip, batch: list[Asked]) -> None:
        """Answer what was stored before under its key; store the others."""
        keys = [asked.key for asked in batch if asked.key is not None]
        if not keys and not tip.keys:
            self._store(lane, tip, batch)
            return

        def found(known: dict[str, Position] | EngineError) -> None:
            if isinstance(known, EngineError):
                self._fail(lane, batch, known)
                self._go_on(lane)
                return
            settled = tip._replace(keys={})
            if self._tips.get(lane.channel) is tip:
                self._tips[lane.channel] = settled
            new = []
            for asked in batch:
                at = None if asked.key is None else known.get(asked.key)
                if at is None:
                    new.append(asked)
                else:
                    self._answer(asked, Stored(at.epoch, at.offset, is_new=False))
            self._store(lane, settled, new)

        self._keys.settle(lane.channel, tip, keys, found)

    def _store(self, lane: Lane, tip: Tip, batch: list[Asked]) -> None:
        record = self._record_of(tip, batch)
        if record is None:
            for asked in batch:
                self._answer(asked, Stored(tip.epoch, tip.offset, is_new=False))
            self._go_on(lane)
            return

        def answered(reply: list[Msg] | EngineError) -> None:
            if isinstance(reply, EngineError):
                self._tips.pop(lane.channel, None)
                self._fail(lane, batch, reply)
                self._go_on(lane)
                return
            ack = ack_of(reply[0].data)
            if ack.error is None:
                self._have_stored(lane, Tip.of(record, ack.seq, self._streams.now), batch)
                self._streams.saw(ack.seq, record)
                return
            if self._tips.get(lane.channel) in {None, tip}:
                self._tips.pop(lane.channel, None)
            if ack.error.err_code in MOVED_ON:
                lane.waiting.extendleft(reversed(batch))
                self._call_for_turn(lane)
            else:
                self._fail(lane, batch, refusal(ack.error))
            self._go_on(lane)

        lane.sent_at = asyncio.get_running_loop().time()
        subject = self._names.channel(lane.channel)
        self._link.ask(
            subject, encode_record(record), answered, {LAST_SUBJECT: str(tip.sequence)}
        )

    def _record_of(self, tip: Tip, batch: list[Asked]) -> Record | None:
        """Put a batch together; None if nothing has to be stored for it."""
        messages = [asked for asked in batch if asked.draft is not None]
        is_valid = bool(tip.epoch) and tip.epoch.startswith(self._streams.life)
        if is_valid and not messages and all(asked.oldest <= tip.time for asked in batch):
            return None
        if not is_valid:
            epoch = f"{self._streams.life}{self._node}{next(self._epochs):x}"
            tip = tip._replace(epoch=epoch, offset=0, size=0)
        first = tip.offset + 1
        keys = {
            asked.key: place for place, asked in enumerate(messages, first) if asked.key is not None
        }
        return Record(
            tip.epoch,
            first,
            tip.size,
            sum(payload_size(asked.draft.data) for asked in messages if asked.draft is not None),
            self._node,
            [asked.packed for asked in messages],
            keys,
        )

    def _have_stored(self, lane: Lane, tip: Tip, batch: list[Asked]) -> None:
        self._know(lane.channel, tip)
        messages = [asked for asked in batch if asked.draft is not None]
        self._went(lane.channel, tip, messages)
        offset = tip.offset - len(messages)
        for asked in batch:
            offset += asked.draft is not None
            self._answer(asked, Stored(tip.epoch, offset, is_new=True))
        now = asyncio.get_running_loop().time()
        if lane.yields_until > now:
            pause = (now - lane.sent_at) * random.uniform(2, 4)  # noqa: S311 - no secret
            asyncio.get_running_loop().call_later(pause, self._go_on, lane)
        else:
            self._go_on(lane)

    def _call_for_turn(self, lane: Lane) -> None:
        """Ask whoever publishes to the channel all the time to leave a gap."""
        now = asyncio.get_running_loop().time()
        if now > lane.called_at + TURN_SECONDS / 2:
            lane.called_at = now
            self._link.tell(self._names.turns, lane.channel.encode())

    def _know(self, channel: str, tip: Tip) -> None:
        self._tips[channel] = tip
        self._tips.move_to_end(channel)
        if len(self._tips) > MAX_TIPS:
            self._tips.popitem(last=False)

    def _fail(self, lane: Lane, batch: Iterable[Asked], error: EngineError) -> None:
        """Say that nobody knows; what was stored all the same is still to be delivered."""
        for asked in batch:
            self._answer(asked, error)
        self._doubt(lane.channel)

    def _answer(self, asked: Asked, result: Stored | EngineError) -> None:
        self._count -= 1
        self._bytes -= len(asked.packed)
        try:
            asked.answer(result)
        except Exception:
            # What one asker's code throws must not cost all others their answers.
            logger.exception("answer_failed")


def _deadline() -> float:
    return asyncio.get_running_loop().time() + ANSWER_SECONDS
