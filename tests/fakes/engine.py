"""A fake engine that answers late: at the step that a test chooses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    Answer,
    Engine,
    EngineError,
    History,
    Lose,
    Sink,
    Span,
)
from itemwire.engines.memory import MemoryEngine
from itemwire.messages import Draft, Position
from tests.fakes.values import BOUNDS, Clock

T = TypeVar("T")


class LateEngine(Engine):
    """A memory engine far away: a call takes one `step` to arrive and one to be answered."""

    def __init__(self) -> None:
        self.inner = MemoryEngine(BOUNDS, clock=Clock(), unix_clock=Clock())
        self.steps: deque[Callable[[], None]] = deque()
        self.heard: set[str] = set()
        self.lose: Lose = NO_SINK.lose
        self.is_away = False
        self.broken: set[str] = set()

    def step(self, count: int = 1) -> None:
        """Let so many calls arrive or be answered, in the order they were made."""
        for _ in range(count):
            self.steps.popleft()()

    def settle(self) -> None:
        """Let everything arrive and be answered."""
        while self.steps:
            self.step()

    @property
    @override
    def is_available(self) -> bool:
        return not self.is_away

    @override
    async def start(self, sink: Sink) -> None:
        self.lose = sink.lose
        await self.inner.start(sink)

    @override
    async def stop(self) -> None:
        await self.inner.stop()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        def hear(done: Answer[None]) -> None:
            self.heard.add(channel)
            self.inner.subscribe(channel, done)

        self._ask("subscribe", hear, answer)

    @override
    def unsubscribe(self, channel: str) -> None:
        self.heard.discard(channel)
        self.inner.unsubscribe(channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        self._ask("publish", lambda done: self.inner.publish(channel, draft, done), answer)

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self._ask("read", lambda done: self.inner.read(channel, span, done), answer)

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        self._ask("erase", lambda done: self.inner.erase(channel, done), answer)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._ask("post", lambda done: self.inner.post(notice, until, done), answer)

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        self._ask("tell", lambda done: self.inner.tell(channel, words, done), answer)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._ask("put", lambda done: self.inner.put(key, value, seconds, done), answer)

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._ask("take", lambda done: self.inner.take(key, done), answer)

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        self.inner.secret(answer)

    def _ask(self, name: str, call: Callable[[Answer[T]], None], answer: Answer[T]) -> None:
        def arrive() -> None:
            if name in self.broken:
                self.steps.append(lambda: answer(EngineError(f"{name} is broken")))
            else:
                call(lambda result: self.steps.append(lambda: answer(result)))

        self.steps.append(arrive)
