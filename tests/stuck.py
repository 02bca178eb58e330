"""Clients that stopped reading beside clients that read: `python -m tests.stuck --seconds 60`.

A server in a process of its own, an item for each policy; on each so many stuck and so many
healthy readers. Exits with 1 if its memory grows once the outboxes are full, a healthy reader
misses a message, or what a stuck one reads in the end does not add up to all that was published.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import msgspec
from typing_extensions import override

from itemwire.bench.client import Listener
from itemwire.bench.crowd import crowd
from itemwire.bench.frames import TEXT, Frame, client_frame, split_frames
from itemwire.bench.histogram import LatencyHistogram
from itemwire.bench.memory import memory_of
from itemwire.bench.target import ENVELOPES, BenchTarget, target_of
from itemwire.channels.limits.slow_consumers import SlowConsumerPolicy
from tests.scenarios.clients import TALKING, token
from tests.scenarios.processes import Started, started

POLICIES: Final = tuple(SlowConsumerPolicy)
RULES: Final = ",".join(f"bench:{number}={word}" for number, word in enumerate(POLICIES))
SENT_AT: Final = re.compile(rb'"data":"([0-9]{20})')
LOOK_SECONDS: Final = 0.5
PATIENCE: Final = 15.0
SMALL_BUFFER: Final = 8192
MAX_GROWTH: Final = 8 << 20  # from when a half of the time was over


@dataclass(frozen=True, slots=True)
class Load:
    """How many readers of each kind an item has, and what is published to it."""

    stuck: int = 100
    healthy: int = 100
    seconds: float = 60
    rate: float = 50
    size: int = 4096

    @property
    def messages(self) -> int:
        """Tell how many an item gets."""
        return int(self.seconds * self.rate)


@dataclass(slots=True)
class Found:
    """What came out."""

    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    missing: int = 0  # messages, to healthy readers
    memory: list[int] = field(default_factory=list)
    logs: dict[SlowConsumerPolicy, list[str]] = field(default_factory=dict)

    @property
    def growth(self) -> int:
        """Tell by how much the server's memory grew in the second half."""
        middle = len(self.memory) // 2
        return max(self.memory[middle:]) - max(self.memory[: middle + 1])


class Healthy(Listener):
    """Reads everything, and notes how late it comes."""

    latency: LatencyHistogram | None = None
    count = 0

    @override
    def received(self, frame: Frame) -> None:
        sent = SENT_AT.search(frame.payload)
        if sent is not None and self.latency is not None:
            self.count += 1
            self.latency.record(time.perf_counter_ns() - int(sent[1]))


@contextlib.contextmanager
def stuck_readers(
    target: BenchTarget, load: Load
) -> Iterator[dict[SlowConsumerPolicy, list[socket.socket]]]:
    """Join each item so many times with a small receive buffer, and read no more."""
    with contextlib.ExitStack() as stack:
        sockets: dict[SlowConsumerPolicy, list[socket.socket]] = {}
        for number, policy in enumerate(POLICIES):
            for _ in range(load.stuck):
                reader = stack.enter_context(socket.socket())
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
                reader.settimeout(PATIENCE)
                reader.connect((target.address, target.port))
                reader.sendall(target.request(number, 0))
                reader.recv(1, socket.MSG_PEEK)  # it was answered
                sockets.setdefault(policy, []).append(reader)
        yield sockets


async def publish(publishers: Sequence[Listener], load: Load) -> None:
    """Publish to each item at the rate, however late the server is."""
    filler = "x" * (load.size - 20)
    began = time.perf_counter()
    for number in range(load.messages):
        due = began + number / load.rate
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        for publisher in publishers:
            data = f'{{"type":"publish","data":"{time.perf_counter_ns():020}{filler}"}}'
            publisher.transport.write(client_frame(TEXT, data.encode()))


async def watch(pid: int, memory: list[int]) -> None:
    """Note what the server takes, twice a second."""
    while True:
        memory.append(memory_of(pid))
        await asyncio.sleep(LOOK_SECONDS)


async def send_load(target: BenchTarget, load: Load, pid: int) -> Found:
    """Publish to healthy readers for the time, and count what they miss."""
    found = Found()
    dialect, items = target.dialect, len(POLICIES)
    make = lambda number: Healthy(number % items, dialect)  # noqa: E731 - as `crowd` takes it
    async with crowd(target, items * load.healthy, make) as healthy:
        healthy.demand_all()
        for reader in healthy.listeners:
            reader.latency = found.latency
        by_item = {one.item_number: one for one in healthy.listeners}
        watching = asyncio.create_task(watch(pid, found.memory))
        await publish([by_item[number] for number in range(items)], load)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while any(one.count < load.messages for one in healthy.listeners):  # noqa: ASYNC110 - so many
                    await asyncio.sleep(LOOK_SECONDS)
        watching.cancel()
        found.missing = sum(load.messages - one.count for one in healthy.listeners)
    return found


def read_log(reader: socket.socket, heard: int, last: int) -> str:
    """Read what a stuck reader finds: `whole` if it adds up, else how it ended or what is wrong."""
    with contextlib.suppress(ConnectionResetError):
        data = reader.recv(1 << 16).partition(b"\r\n\r\n")[2]
        while more := reader.recv(1 << 16):
            frames, data = split_frames(data + more)
            try:
                for frame in frames:
                    heard = _read_on(frame, heard)
            except _End as end:
                return str(end)
            if heard == last:
                return "whole"
    return "cut"


class _End(Exception):
    """Nothing more comes, or nothing that can be believed."""


class _Envelope(msgspec.Struct):
    type: str
    offset: int = 0
    first: int = msgspec.field(name="from", default=0)
    to: int = 0
    reason: str = ""


_read = msgspec.json.Decoder(_Envelope).decode


def _read_on(frame: Frame, heard: int) -> int:
    if frame.opcode != TEXT:
        return heard
    envelope = _read(frame.payload)
    if envelope.type == "closing":
        raise _End(envelope.reason)
    first = envelope.first or envelope.offset
    last = envelope.to or envelope.offset
    if envelope.type not in {"message", "gap"}:
        return heard
    if first != heard + 1:
        raise _End(f"{first} follows {heard}")
    return last


def run(load: Load) -> tuple[Found, Found]:
    """Send the load without stuck readers for a while, then with them."""
    command = [
        sys.executable,
        "-c",
        "from itemwire.cli import main; main()",
        "serve",
        "--port",
        "0",
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        # Who reads nothing answers no ping either: it would be gone after 40 s.
        started(command, Path(folder), slow_consumers=RULES, ping_interval="3600") as server,
    ):
        return _run(server, load)


def _run(server: Started, load: Load) -> tuple[Found, Found]:
    target = target_of(
        server.server.url,
        tokens=(token("reader", TALKING, lifetime=3600),),
        subprotocol=ENVELOPES,
    )
    alone = Load(0, load.healthy, load.seconds / 4, load.rate, load.size)
    without = asyncio.run(send_load(target, alone, server.process.pid))
    with stuck_readers(target, load) as readers:
        beside = asyncio.run(send_load(target, load, server.process.pid))
        for policy, sockets in readers.items():
            last = alone.messages + load.messages
            beside.logs[policy] = [read_log(one, alone.messages, last) for one in sockets]
    return without, beside


def report(name: str, found: Found) -> None:
    """Print the figures of one run."""
    quantiles = found.latency.figures_ms()
    memory = " ".join(
        f"{size / 2**20:.1f}" for size in found.memory[:: max(len(found.memory) // 10, 1)]
    )
    click.echo(
        f"{name}: healthy p50 {quantiles['p50_ms']:.1f} ms, p99 {quantiles['p99_ms']:.1f} ms, "
        f"missing {found.missing}; server MiB {memory}"
    )


@click.command()
@click.option("--stuck", default=100, show_default=True, help="Stuck readers of each policy.")
@click.option("--healthy", default=100, show_default=True, help="Healthy readers of each item.")
@click.option("--seconds", default=60.0, show_default=True, help="How long they are stuck.")
@click.option("--rate", default=50.0, show_default=True, help="Messages a second and item.")
@click.option("--size", default=4096, show_default=True, help="Bytes of a message.")
def main(stuck: int, healthy: int, seconds: float, rate: float, size: int) -> None:
    """Measure a server with readers that are stuck."""
    without, beside = run(Load(stuck, healthy, seconds, rate, size))
    report("without stuck readers", without)
    report("beside stuck readers", beside)
    for policy, logs in beside.logs.items():
        counts = {how: logs.count(how) for how in sorted(set(logs))}
        click.echo(f"{policy}: {counts}")
    click.echo(f"grew by {beside.growth / 2**20:.1f} MiB in the second half")
    sys.exit(0 if is_good(beside) else 1)


def is_good(found: Found) -> bool:
    """Tell whether all is as it is promised."""
    kept = [log for policy in POLICIES[1:] for log in found.logs[policy]]
    ended = found.logs[SlowConsumerPolicy.DISCONNECT]
    return (
        found.missing == 0
        and found.growth <= MAX_GROWTH
        and set(kept) == {"whole"}
        and set(ended) <= {"slow_consumer", "cut"}
    )


if __name__ == "__main__":
    main()
