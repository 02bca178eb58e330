"""What every engine promises of values that are put and taken once, as tests."""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import TypeVar

from itemwire.engines.base import Answer, Bounds, Engine, Sink
from tests.conformance.asked_engine import BOUNDS, WAIT_SECONDS, answer_of

T = TypeVar("T")


class Values:
    """An engine that is waited for, and keys that nobody else uses."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._prefix = f"test:{uuid.uuid4()}"

    async def put(self, key: str, value: bytes, seconds: float = 60) -> None:
        """Keep a value under a key."""

        def ask(answer: Answer[None]) -> None:
            self.engine.put(self._prefix + key, value, seconds, answer)

        await answer_of(ask)

    async def take(self, key: str) -> bytes | None:
        """Take the value of a key."""

        def ask(answer: Answer[bytes | None]) -> None:
            self.engine.take(self._prefix + key, answer)

        return await answer_of(ask)


class ValueContract(ABC):
    """The promises of `put` and `take` of `itemwire.engines.base.Engine`, one test each."""

    @abstractmethod
    def open_engine(self, bounds: Bounds) -> Engine:
        """Make the engine under test."""
        ...

    def on(self, scene: Callable[[Values], Coroutine[object, object, T]]) -> T:
        """Play a scene on a started engine."""

        async def play() -> T:
            engine = self.open_engine(BOUNDS)
            await engine.start(Sink())
            try:
                return await scene(Values(engine))
            finally:
                await engine.stop()

        return asyncio.run(play())

    def test_gives_a_value_back_as_it_was_put_and_then_no_more(self) -> None:
        """Any bytes, under any key, once."""
        values = {":a": b"\x00\xff\r\n", ":A": b"", ":*": b"x" * 20_000, ":{a}'": b"{}"}

        async def scene(asked: Values) -> tuple[list[bytes | None], list[bytes | None]]:
            for key, value in values.items():
                await asked.put(key, value)
            first = [await asked.take(key) for key in values]
            return first, [await asked.take(key) for key in values]

        first, second = self.on(scene)

        assert first == list(values.values())
        assert second == [None] * len(values)

    def test_keeps_the_last_value_of_a_key(self) -> None:
        """What was there before is replaced, its time with it."""

        async def scene(asked: Values) -> list[bytes | None]:
            await asked.put("k", b"first", seconds=0.01)
            await asked.put("k", b"second")
            return [await asked.take("k"), await asked.take("k"), await asked.take("other")]

        assert self.on(scene) == [b"second", None, None]

    def test_gives_a_value_to_one_of_fifty_that_take_it_at_once(self) -> None:
        """A one-time ticket lets one in (requirement 22)."""

        async def scene(asked: Values) -> list[bytes | None]:
            await asked.put("k", b"v")
            return await asyncio.gather(*(asked.take("k") for _ in range(50)))

        assert sorted(self.on(scene), key=bool) == [None] * 49 + [b"v"]

    def test_forgets_a_value_when_its_time_is_up(self) -> None:
        """All were put for a tenth of a second: a later look finds none of those still there."""
        count = int(WAIT_SECONDS * 20)

        async def scene(asked: Values) -> int:
            for number in range(count):
                await asked.put(str(number), b"v", seconds=0.1)
            for number in range(count):
                if await asked.take(str(number)) is None:
                    return number
                await asyncio.sleep(0.05)  # time passing is what this is about
            return count

        assert self.on(scene) < count
