"""Deletes records from JetStream that are beyond the bytes of a history.

JetStream itself limits their age and their number per subject, but not their bytes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import msgspec
from nats.aio.msg import Msg

from itemwire.engines.base import ChannelBounds, EngineError
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.records import LastRecord

MAX_CHANNELS: Final = 10_000
SPARE_BYTES: Final = 1_048_576  # for nodes that are a little behind
LEAST_STEP: Final = 65_536


class HistoryTrimmer:
    """Marks now and then how far a channel has come, and deletes what lies before old marks."""

    def __init__(self, connection: NatsConnection, names: NatsNames, bounds: ChannelBounds) -> None:
        self._connection = connection
        self._names = names
        self._bounds = bounds
        self._marks: OrderedDict[str, deque[LastRecord]] = OrderedDict()

    def trim(self, channel: str, last: LastRecord) -> None:
        """Delete what a record that this node has just stored makes superfluous."""
        most_bytes = self._bounds.of(channel).bytes
        marks = self._marks.setdefault(channel, deque())
        self._marks.move_to_end(channel)
        if len(self._marks) > MAX_CHANNELS:
            self._marks.popitem(last=False)
        if marks and marks[-1].epoch != last.epoch:
            marks.clear()
        if not marks or last.size - marks[-1].size >= max(most_bytes // 4, LEAST_STEP):
            marks.append(last._replace(keys={}))
        superfluous: LastRecord | None = None
        while last.size - marks[0].size >= most_bytes + SPARE_BYTES:
            superfluous = marks.popleft()
        if superfluous is not None:
            self._delete_until(channel, superfluous.sequence)

    def _delete_until(self, channel: str, last: int) -> None:
        subject = f"$JS.API.STREAM.PURGE.{self._names.channels}"
        what = {"filter": self._names.channel(channel), "seq": last + 1}
        self._connection.ask(subject, msgspec.json.encode(what), _ignore_result)


def _ignore_result(_reply: list[Msg] | EngineError) -> None:
    """Leave it: what was not deleted now goes with the next mark."""
