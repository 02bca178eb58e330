"""The Python clients of a run: one process, told by lines on its input, telling by lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from typing_extensions import override

from itemwire.client import AsyncClient, ClientError, Gap, PublishUnconfirmed
from itemwire.client.backoff import CAP_SECONDS, FIRST_SECONDS
from itemwire.client.clock import LoopClock, TimerHandle
from itemwire.client.token_source import TokenRequest
from tests.scenarios.clients import TALKING, token

PLAN: Final[dict[str, Any]] = json.loads(sys.argv[1]) if __name__ == "__main__" else {}
RETRY_SECONDS: Final = 0.2
BEAT_SECONDS: Final = 0.2


def tell(**told: object) -> None:
    """Write a line for who has started this."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


class NotingClock(LoopClock):
    """A client's clock, which notes for when the timer was set that has run last."""

    due: float | None = None

    @override
    def call_later(self, seconds: float, callback: Callable[[], None]) -> TimerHandle:
        due = time.time() + seconds

        def call() -> None:
            self.due = due
            callback()

        return super().call_later(seconds, call)


class PythonWatcher:
    """Follows an item, publishes to it, and keeps what it heard."""

    attempts: Final[list[tuple[float, float]]] = []  # meant to connect, and began to
    stall = 0.0  # the longest time that this process, and every client in it, stood still
    errors: Final[Counter[str]] = Counter()
    quiet: Final = asyncio.Event()

    def __init__(self, name: str, item: str) -> None:
        self.name = name
        self.log: list[tuple[str, int | None, object]] = []
        self.acknowledged: list[tuple[str, str | None, str]] = []
        self.unconfirmed = 0
        self.start: str | None = None
        first = PLAN["window"] or FIRST_SECONDS
        self.clock = NotingClock()
        self.wire = AsyncClient(
            PLAN["url"],
            token=self._token,
            proxy=None,
            backoff=(first, CAP_SECONDS),
            clock=self.clock,
        )
        self.wire.on("error", self._note_error)
        self.item = self.wire.item(item)

    async def _token(self, request: TokenRequest) -> str:
        if request.reason != "expiring":
            now = time.time()
            self.attempts.append((now if self.clock.due is None else self.clock.due, now))
        return token(self.name, TALKING, lifetime=PLAN["token_seconds"])

    def _note_error(self, error: Exception) -> None:
        self.errors[f"py: {error}"] += 1

    async def run(self) -> None:
        """Follow and publish until all shall be quiet."""
        self.wire.connect()
        await self._join()
        self.start = self.item.position
        self.listening = asyncio.create_task(self._listen())
        number = 0
        while not self.quiet.is_set():
            with contextlib.suppress(TimeoutError):
                seconds = random.uniform(0, 2 * PLAN["pace"])  # noqa: S311 - no secret
                await asyncio.wait_for(self.quiet.wait(), seconds)
            if not self.quiet.is_set():
                await self._publish(f"{self.name} {number}")
                number += 1

    async def _join(self) -> None:
        while True:
            try:
                return await self.item.join()
            except ClientError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        async for told in self.item:
            if isinstance(told, Gap):
                self.log.append((told.epoch, told.from_, told.to))
            else:
                assert self.item.position is not None
                self.log.append((self.item.position.partition(":")[0], told.offset, told.data))

    async def _publish(self, text: str) -> None:
        """Publish until it is acknowledged: again with the same key where it is not known."""
        key = str(uuid.uuid4())
        while True:
            try:
                result = await self.item.publish(text, key=key)
            except ClientError as error:
                self.unconfirmed += isinstance(error, PublishUnconfirmed)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.acknowledged.append((self.item.id, result.position, text))
                return

    def told(self) -> dict[str, Any]:
        """Return what the run compares."""
        told = {"name": self.name, "item": self.item.id, "start": self.start}
        return told | {"log": self.log, "unconfirmed": self.unconfirmed}


async def main() -> None:
    """Run all clients of this process."""
    watchers = [PythonWatcher(one["name"], one["item"]) for one in PLAN["clients"]]
    running = [asyncio.create_task(one.run()) for one in watchers]
    beating = asyncio.create_task(_beat(watchers))
    await asyncio.to_thread(sys.stdin.readline)  # stop publishing
    PythonWatcher.quiet.set()
    await asyncio.gather(*running)
    tell(acknowledged=[told for one in watchers for told in one.acknowledged])
    ends = json.loads(await asyncio.to_thread(sys.stdin.readline))  # where each item ends
    until = time.monotonic() + PLAN["patience"]
    while time.monotonic() < until and not all(  # noqa: ASYNC110 - there is no one event
        ends.get(one.item.id, one.item.position) == one.item.position for one in watchers
    ):
        await asyncio.sleep(0.05)
    beating.cancel()
    tell(
        logs=[one.told() for one in watchers],
        attempts=PythonWatcher.attempts,
        errors=PythonWatcher.errors,
        stall=PythonWatcher.stall,
    )
    await asyncio.gather(*(one.wire.close() for one in watchers))


async def _beat(watchers: list[PythonWatcher]) -> None:
    beaten = time.monotonic()
    while True:
        away = [f"{one.name} {one.wire.state}" for one in watchers if one.item.state != "joined"]
        tell(away=away, errors=PythonWatcher.errors)
        await asyncio.sleep(BEAT_SECONDS)
        late = time.monotonic() - beaten - BEAT_SECONDS
        PythonWatcher.stall, beaten = max(PythonWatcher.stall, late), time.monotonic()


if __name__ == "__main__":
    asyncio.run(main())
