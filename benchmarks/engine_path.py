"""How many messages an engine stores in a second, with so many waiting for their answers.

    python -m benchmarks.engine_path sqlite:////tmp/measured.db

Each answer asks for the next publish of 128 bytes. The figures are the median of the rounds, and
the 50th and 99th percentile of what an answer took. The store of the URL is written to.
"""

import asyncio
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Final

from itemwire.engines import open_engine
from itemwire.engines.base import Bounds, Engine, EngineError, Sink
from itemwire.messages import Draft, Position

IN_FLIGHT: Final = (1, 32, 1000)
ROUND_SECONDS: Final = 2.0
ROUNDS: Final = 5
BOUNDS: Final = Bounds(messages=100, bytes=1_048_576, seconds=300)
DRAFT: Final = Draft("42", "alice", 1.5, "x" * 128)


@dataclass(slots=True)
class Round:
    """Publishes that ask for the next as they are answered, until the time is up."""

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
        """Give how many were stored a second."""
        return (len(self.seconds) - self.refused) / (self.ended_at - self.began_at)

    def percentiles_ms(self) -> tuple[float, float]:
        """Give the 50th and the 99th percentile of what an answer took."""
        hundredths = statistics.quantiles(self.seconds, n=100)
        return hundredths[49] * 1000, hundredths[98] * 1000

    def publish(self) -> None:
        """Publish, and again when it is answered; memory answers before the call returns."""
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
    """Publish for so long."""
    began = time.perf_counter()
    measured = Round(engine, began, began + seconds, in_flight)
    for _ in range(in_flight):
        measured.publish()
    async with asyncio.timeout(10 * seconds):
        await measured.over.wait()
    return measured


async def run(url: str) -> None:
    """Measure and print."""
    engine = open_engine(url, BOUNDS)
    await engine.start(Sink())
    try:
        print(f"{'in flight':>10}{'messages/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
        for in_flight in IN_FLIGHT:
            rounds = [await measure(engine, in_flight) for _ in range(ROUNDS)]
            refused = sum(one.refused for one in rounds)
            if refused:
                print(f"{refused} were refused: the disk was too slow, or busy with other things")
            figures = [(one.per_s, *one.percentiles_ms()) for one in rounds]
            rate, half, most = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"{in_flight:10}{rate:12.0f}{half:10.2f}{most:10.2f}")
    finally:
        await engine.stop()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
