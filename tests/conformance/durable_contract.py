"""What an engine promises in addition if its store outlives the process, as tests.

Each test stops an engine and starts a new one on the same store.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TypeVar

import pytest

from itemwire.engines.base import Answer, Bounds, Engine, Span
from itemwire.messages import Publication
from tests.conformance.asked_engine import BOUNDS, Asked, answer_of
from tests.conformance.retained_contract import ALONE, LAST

T = TypeVar("T")

Restart = Callable[[], contextlib.AbstractAsyncContextManager[Asked]]


class DurableContract(ABC):
    """What was answered is there for the next engine on the same store, one test each."""

    @abstractmethod
    def open_engine(self, bounds: Bounds) -> Engine:
        """Make an engine on the store of this test."""
        ...

    def on(
        self, scene: Callable[[Restart], Coroutine[object, object, T]], bounds: Bounds = BOUNDS
    ) -> T:
        """Play a scene that runs engines one after the other, each heard on the same channel."""
        channel = f"item:{uuid.uuid4()}"

        @contextlib.asynccontextmanager
        async def running() -> AsyncIterator[Asked]:
            asked = Asked(self.open_engine(bounds))
            asked.channel = channel
            async with asked.running():
                yield asked

        return asyncio.run(scene(running))

    def test_counts_on_in_the_same_epoch(self) -> None:
        """A client that comes back resumes as if nothing had been (requirement 101)."""

        async def scene(running: Restart) -> list[tuple[str, int]]:
            positions = []
            for _ in range(3):
                async with running() as asked:
                    positions += [await asked.publish() for _ in range(2)]
            return [(one.epoch, one.offset) for one in positions]

        positions = self.on(scene)

        assert [offset for _, offset in positions] == [1, 2, 3, 4, 5, 6]
        assert len({epoch for epoch, _ in positions}) == 1

    def test_keeps_the_epoch_of_a_channel_that_was_only_read(self) -> None:
        """The position that a first subscriber was told is one to resume from."""

        async def scene(running: Restart) -> list[str]:
            async with running() as asked:
                read = (await asked.read(Span(1))).position
            async with running() as asked:
                return [read.epoch, (await asked.publish()).epoch]

        assert len(set(self.on(scene))) == 1

    def test_keeps_the_history(self) -> None:
        """Of every kind of payload, as it was."""

        async def scene(running: Restart) -> list[object]:
            async with running() as asked:
                for data in ("tëxt 😀", b"\x00\xff"):
                    await asked.publish(data)
            async with running() as asked:
                history = await asked.read(Span(10, after=0))
                assert history.complete
                return [one.data for one in history.publications]

        assert self.on(scene) == ["tëxt 😀", b"\x00\xff"]

    def test_delivers_what_comes_next_and_nothing_twice(self) -> None:
        """A restart is no reason to tell anybody anything."""

        async def scene(running: Restart) -> list[int]:
            async with running() as asked:
                await asked.subscribe()
                await asked.publish()
            async with running() as asked:
                await asked.subscribe()
                await asked.publish()
                return [one.offset for one in await asked.hear(1)]

        assert self.on(scene) == [2]

    def test_remembers_keys(self) -> None:
        """A client that got no answer from a server that died asks the next one."""

        async def scene(running: Restart) -> list[int]:
            async with running() as asked:
                first = await asked.publish(key="k")
            async with running() as asked:
                return [first.offset, *[(await asked.publish(key=k)).offset for k in ("k", "l")]]

        assert self.on(scene) == [1, 1, 2]

    def test_keeps_what_is_retained(self) -> None:
        """Who comes after a restart is no later than who came before it."""

        async def scene(running: Restart) -> Publication | None:
            async with running() as asked:
                await asked.publish("first")
                await asked.publish("last")
            async with running() as asked:
                return (await asked.read(LAST)).retained

        kept = self.on(scene, ALONE)

        assert kept is not None
        assert (kept.data, kept.offset) == ("last", 2)

    def test_hands_on_the_notices(self) -> None:
        """A revoked token must not come in again because a server was started (requirement 70)."""

        async def scene(running: Restart) -> tuple[bytes, list[bytes]]:
            async with running() as asked:
                notice = asked.notice("kept")
                await asked.post(asked.notice("over"), time.time())
                await asked.post(notice, time.time() + 60)
            async with running() as asked:
                waiting = [asked.noticed.get_nowait() for _ in range(asked.noticed.qsize())]
                return notice, [one for one in waiting if one.startswith(asked.channel.encode())]

        notice, heard = self.on(scene)

        assert heard == [notice]

    @pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "not-taken"])
    def test_keeps_values_until_they_are_taken(self, is_taken: bool) -> None:
        """A one-time ticket is good once, whichever server it is shown to (requirement 22)."""
        key = str(uuid.uuid4())

        def take(engine: Engine) -> Coroutine[object, object, bytes | None]:
            def ask(answer: Answer[bytes | None]) -> None:
                engine.take(key, answer)

            return answer_of(ask)

        def put(engine: Engine) -> Coroutine[object, object, None]:
            def ask(answer: Answer[None]) -> None:
                engine.put(key, b"v", 60, answer)

            return answer_of(ask)

        async def scene(running: Restart) -> bytes | None:
            async with running() as asked:
                await put(asked.engine)
                if is_taken:
                    await take(asked.engine)
            async with running() as asked:
                return await take(asked.engine)

        assert self.on(scene) == (None if is_taken else b"v")
