"""Forgets records of JetStream that are past the bytes of a history.

Age and number JetStream sees to by itself; of a channel's bytes it knows nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import msgspec
from nats.aio.msg import Msg

from itemwire.engines.base import Bounds, EngineError
from itemwire.engines.nats.link import NatsConnection
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.records import LastRecord

MAX_CHANNELS: Final = 10_000
SPARE_BYTES: Final = 1_048_576  # for nodes that are a little behind
LEAST_STEP: Final = 65_536


class HistoryTrimmer:
    """Marks now and then how far a channel has come, and forgets what is ahead of old marks."""

    def __init__(self, link: NatsConnection, names: NatsNames, bounds: Bounds) -> None:
        self._link = link
        self._names = names
        self._most = bounds.bytes + SPARE_BYTES
        self._step = max(bounds.bytes // 4, LEAST_STEP)
        self._marks: OrderedDict[str, deque[LastRecord]] = OrderedDict()

    def stored(self, channel: str, tip: LastRecord) -> None:
        """Hear of a record that was stored from here."""
        marks = self._marks.setdefault(channel, deque())
        self._marks.move_to_end(channel)
        if len(self._marks) > MAX_CHANNELS:
            self._marks.popitem(last=False)
        if marks and marks[-1].epoch != tip.epoch:
            marks.clear()
        if not marks or tip.size - marks[-1].size >= self._step:
            marks.append(tip._replace(keys={}))
        last = None
        while tip.size - marks[0].size >= self._most:
            last = marks.popleft()
        if last is not None:
            self._forget(channel, last.sequence)

    def _forget(self, channel: str, last: int) -> None:
        subject = f"$JS.API.STREAM.PURGE.{self._names.channels}"
        what = {"filter": self._names.channel(channel), "seq": last + 1}
        self._link.ask(subject, msgspec.json.encode(what), _done)


def _done(_reply: list[Msg] | EngineError) -> None:
    """Leave it: what was not forgotten is with the next mark."""
