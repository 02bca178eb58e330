"""Any engine, with its answers counted and timed, and its refusals watched."""

from __future__ import annotations  # else the types of `answered` are built at each call

import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from typing_extensions import override

from itemwire.counters import OperationCounters
from itemwire.engines.base import (
    EMPTY,
    Answer,
    Engine,
    EngineError,
    History,
    NothingBegun,
    Sink,
    Span,
)
from itemwire.engines.faults import UNKNOWN, EngineFault
from itemwire.engines.write_watch import WriteWatch
from itemwire.messages import Draft, Payload, Position, payload_size

T = TypeVar("T")

WRITES: Final = frozenset({"publish", "put", "take", "erase"})


class MeteredEngine(Engine):
    """Passes everything on, measures the time until each answer, and knows what is refused."""

    def __init__(
        self,
        inner: Engine,
        counters: Mapping[str, OperationCounters],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._inner = inner
        self.answers_at_once = inner.answers_at_once
        self._counters = counters
        self._publishes = counters["publish"]
        self._clock = clock
        self._watch = WriteWatch(inner)

    @property
    @override
    def fault(self) -> EngineFault | None:
        return self._watch.fault or self._inner.fault

    @property
    @override
    def parts(self) -> Mapping[str, bool]:
        return self._inner.parts

    @property
    @override
    def is_available(self) -> bool:
        return self._inner.is_available

    @property
    @override
    def most_bytes(self) -> int | None:
        return self._inner.most_bytes

    @override
    async def start(self, sink: Sink) -> None:
        await self._inner.start(sink)
        self._watch.start()

    @override
    async def stop(self) -> None:
        self._watch.stop()
        await self._inner.stop()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        self._inner.subscribe(channel, self._timed("subscribe", answer))

    @override
    def unsubscribe(self, channel: str) -> None:
        self._inner.unsubscribe(channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        self._inner.publish(channel, draft, self._timed("publish", answer, draft.data))

    @override
    def publish_now(self, channel: str, draft: Draft) -> Position | EngineError:
        began = self._clock()
        answer = self._inner.publish_now(channel, draft)
        counters = self._publishes
        counters.seconds.observe(self._clock() - began)
        if isinstance(answer, EngineError):
            counters.errors += 1
            self._watch.take(answer, payload_size(draft.data))
        return answer

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        def have_read(result: History | EngineError) -> None:
            is_begun = not isinstance(result, NothingBegun) or result.fault is not UNKNOWN
            # What one request did not learn in time is known here from others.
            answer(result if is_begun or self.fault is None else EMPTY)

        self._inner.read(channel, span, self._timed("read", have_read))

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        self._inner.erase(channel, self._timed("erase", answer))

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        def posted(problem: EngineError | None) -> None:
            self._watch.note_post(problem)
            answer(problem)

        self._inner.post(notice, until, self._timed("post", posted))

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        self._inner.tell(channel, words, self._timed("tell", answer))

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._inner.put(key, value, seconds, self._timed("put", answer))

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._inner.take(key, self._timed("take", answer))

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        self._inner.secret(answer)  # asked every few seconds, and no client waits for it

    def _timed(self, operation: str, answer: Answer[T], data: Payload = b"") -> Answer[T]:
        counters = self._counters[operation]
        counters.pending += 1
        began = self._clock()

        def answered(result: T | EngineError) -> None:
            counters.pending -= 1
            counters.seconds.observe(self._clock() - began)
            if isinstance(result, EngineError):
                counters.errors += 1
                if operation in WRITES:
                    self._watch.take(result, payload_size(data))
            answer(result)

        return answered
