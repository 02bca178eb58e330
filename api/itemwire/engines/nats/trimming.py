"""Deletes records from JetStream that are beyond the bytes of a history.

JetStream itself limits their age and their number per subject, but not their bytes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final

import msgspec
from nats.aio.msg import Msg

from itemwire.engines.base import Answer, ChannelBounds, EngineError
from itemwire.engines.nats.connection import NatsConnection
from itemwire.engines.nats.jetstream import ack_of, refusal
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.records import LastRecord
from itemwire.engines.nats.requests import TakeReply

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

    def erase(self, channel: str, last: LastRecord | None, answer: Answer[None]) -> None:
        """Delete what lies before a record without a message, which holds the position.

        Where that record is not known, it is the last one.
        """
        self._marks.pop(channel, None)
        what: dict[str, object] = {"filter": self._names.channel(channel)}
        what |= {"keep": 1} if last is None else {"seq": last.sequence}

        def have_erased(reply: list[Msg] | EngineError) -> None:
            problem = _problem_of(reply)
            if problem is not None:
                answer(problem)
                return
            kept = {"filter": self._names.retained(channel)}
            self._purge(self._names.kept, kept, lambda one: answer(_problem_of(one)))

        self._purge(self._names.channels, what, have_erased)

    def _purge(self, stream: str, what: Mapping[str, object], take: TakeReply) -> None:
        self._connection.ask(f"$JS.API.STREAM.PURGE.{stream}", msgspec.json.encode(what), take)

    def _delete_until(self, channel: str, last: int) -> None:
        what = {"filter": self._names.channel(channel), "seq": last + 1}
        self._purge(self._names.channels, what, _ignore_result)


def _problem_of(reply: list[Msg] | EngineError) -> EngineError | None:
    if isinstance(reply, EngineError):
        return reply
    error = ack_of(reply[0].data).error
    return None if error is None else refusal(error)


def _ignore_result(_reply: list[Msg] | EngineError) -> None:
    """Leave it: what was not deleted now goes with the next mark."""
