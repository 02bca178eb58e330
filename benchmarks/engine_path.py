"""How many messages an engine stores a second, with a number of messages in flight.

    python -m benchmarks.engine_path sqlite:////tmp/measured.db

Each answer triggers the next publish, of 128 bytes. The report shows medians of the rounds: the
rate, and the 50th and 99th percentile of the time to an answer. It writes to the store at the URL.
"""

import asyncio
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Final

from itemwire.engines import open_engine
from itemwire.engines.base import Bounds, Engine, EngineError
from itemwire.messages import Draft, Position

IN_FLIGHT: Final = (1, 32, 1000)
ROUND_SECONDS: Final = 2.0
ROUNDS: Final = 5
BOUNDS: Final = Bounds(messages=100, bytes=1_048_576, seconds=300)
DRAFT: Final = Draft("42", "alice", 1.5, "x" * 128)


@dataclass(slots=True)
class Round:
    """Publishes a message for each answer until the time is up."""

    engine: Engine
    began_at: float
    ends_at: float
    waiting: int
    ended_at: float = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    _due: int = 0

    @property
    def per_s(self) -> float:
        """The number of messages stored a second."""
        return (len(self.seconds) - self.refused) / (self.ended_at - self.began_at)

    def percentiles_ms(self) -> tuple[float, float]:
        """Return the 50th and 99th percentile of the time to an answer, in milliseconds."""
        hundredths = statistics.quantiles(self.seconds, n=100)
        return hundredths[49] * 1000, hundredths[98] * 1000

    def publish(self) -> None:
        """Publish, and again for each answer.

        A loop and a counter, because the memory engine answers before the call returns: recursion
        would exhaust the stack.
        """
        self._due += 1
        if self._due == 1:
            while self._due:
                self._ask()
                self._due -= 1

    def _ask(self) -> None:
        asked_at = time.perf_counter()

        def answer(position: Position | EngineError) -> None:
            self.refused += isinstance(position, EngineError)
            now = time.perf_counter()
            self.seconds.append(now - asked_at)
            if now < self.ends_at:
                self.publish()
                return
            self.waiting -= 1
            if not self.waiting:
                self.ended_at = now
                self.over.set()

        self.engine.publish("item:42", DRAFT, answer)


async def measure(engine: Engine, in_flight: int, seconds: float = ROUND_SECONDS) -> Round:
    """Publish for a number of seconds and return the finished round."""
    began = time.perf_counter()
    measured = Round(engine, began, began + seconds, in_flight)
    for _ in range(in_flight):
        measured.publish()
    async with asyncio.timeout(10 * seconds):
        await measured.over.wait()
    return measured


async def run(url: str) -> None:
    """Measure the engine at a URL and print the figures."""
    engine = open_engine(url, BOUNDS)
    await engine.start(lambda _channel, _publication: None)
    try:
        print(f"{'in flight':>10}{'messages/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
        for in_flight in IN_FLIGHT:
            rounds = [await measure(engine, in_flight) for _ in range(ROUNDS)]
            refused = sum(one.refused for one in rounds)
            if refused:
                print(f"{refused} were refused: the disk is too slow, or busy with other work")
            figures = [(one.per_s, *one.percentiles_ms()) for one in rounds]
            rate, half, most = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"{in_flight:10}{rate:12.0f}{half:10.2f}{most:10.2f}")
    finally:
        await engine.stop()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
