"""The cost of writing the frames of one turn to a thousand sockets, in several ways.

    python -m benchmarks.write_path

The ways take turns. Each figure is the median over the rounds of the sender's processor time per
frame and socket. The receiver is another process, on the other core.
"""

import asyncio
import contextlib
import multiprocessing
import os
import selectors
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import uvloop
from typing_extensions import override

SOCKETS: Final = 1000
FRAME: Final = b"\x81\x7e\x00\x80" + b"x" * 128
TICKS: Final = 40
ROUNDS: Final = 7
PER_TICK: Final = (1, 8)

Way = Callable[[list[asyncio.Transport], list[bytes]], None]


def write_each(transports: list[asyncio.Transport], frames: list[bytes]) -> None:
    """Call `transport.write` for each frame and socket."""
    for transport in transports:
        for frame in frames:
            transport.write(frame)


def write_lines(transports: list[asyncio.Transport], frames: list[bytes]) -> None:
    """Call `transport.writelines` once per socket."""
    for transport in transports:
        transport.writelines(frames)


def write_joined(transports: list[asyncio.Transport], frames: list[bytes]) -> None:
    """Join the frames once, and call `transport.write` once per socket."""
    chunk = b"".join(frames)
    for transport in transports:
        transport.write(chunk)


class Bound:
    """Joins the frames once, and keeps the bound `write` of each transport in a list."""

    def __init__(self) -> None:
        self._writers: list[Callable[[bytes], object]] = []

    def __call__(self, transports: list[asyncio.Transport], frames: list[bytes]) -> None:
        """Write the frames to all sockets."""
        if not self._writers:
            self._writers = [transport.write for transport in transports]
        chunk = b"".join(frames)
        for write in self._writers:
            write(chunk)


class Direct:
    """Joins the frames once, and calls `socket.send` if the transport's buffer is empty."""

    def __init__(self) -> None:
        self._sockets: list[tuple[Callable[[bytes], int], asyncio.Transport]] = []

    def __call__(self, transports: list[asyncio.Transport], frames: list[bytes]) -> None:
        """Send the frames to all sockets."""
        if not self._sockets:
            for transport in transports:
                descriptor = transport.get_extra_info("socket").fileno()
                own = socket.socket(fileno=os.dup(descriptor))
                self._sockets.append((own.send, transport))
        chunk = b"".join(frames)
        for send, transport in self._sockets:
            sent = 0
            if not transport.get_write_buffer_size():
                with contextlib.suppress(BlockingIOError):
                    sent = send(chunk)
            if sent < len(chunk):
                transport.write(chunk[sent:])


def read_everything(port: int, count: int) -> None:
    """Open `count` connections, and read until the sender closes them."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    selector = selectors.DefaultSelector()
    for _ in range(count):
        peer = socket.create_connection(("127.0.0.1", port))
        peer.setblocking(False)
        selector.register(peer, selectors.EVENT_READ)
    left = count
    while left:
        for key, _ in selector.select():
            peer = key.fileobj  # type: ignore[assignment] # a registered socket
            if not peer.recv(1 << 20):
                selector.unregister(peer)
                left -= 1


class Peer(asyncio.Protocol):
    """Collects the transports of all connections, and sets an event at the last."""

    def __init__(self, transports: list[asyncio.Transport], everyone: asyncio.Event) -> None:
        self._transports = transports
        self._everyone = everyone

    @override
    def connection_made(self, transport: Any) -> None:
        self._transports.append(transport)
        if len(self._transports) == SOCKETS:
            self._everyone.set()


async def measure(ways: dict[str, Way]) -> dict[str, dict[int, float]]:
    """Return the microseconds per frame and socket of each way, by frames per turn."""
    loop = asyncio.get_running_loop()
    transports: list[asyncio.Transport] = []
    everyone = asyncio.Event()
    server = await loop.create_server(lambda: Peer(transports, everyone), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader = multiprocessing.get_context("fork").Process(
        target=read_everything, args=(port, SOCKETS)
    )
    reader.start()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    await everyone.wait()
    found: dict[str, dict[int, list[float]]] = {name: {n: [] for n in PER_TICK} for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            for count in PER_TICK:
                began = time.process_time()
                for _ in range(TICKS):
                    way(transports, [FRAME] * count)
                    await asyncio.sleep(0)
                while any(one.get_write_buffer_size() for one in transports):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                spent = time.process_time() - began
                found[name][count].append(spent / (TICKS * SOCKETS * count) * 1e6)
                await asyncio.sleep(0.2)
    for transport in transports:
        transport.close()
    server.close()
    reader.join(10)
    return {
        name: {count: statistics.median(times) for count, times in by_count.items()}
        for name, by_count in found.items()
    }


def main() -> None:
    """Measure all ways and print the figures."""
    ways: dict[str, Way] = {
        "write, each frame": write_each,
        "writelines": write_lines,
        "write, joined": write_joined,
        "write, joined, bound": Bound(),
        "socket.send, joined": Direct(),
    }
    found = uvloop.run(measure(ways))
    print(f"{'µs per frame and socket':28}", *(f"{count} a tick".rjust(10) for count in PER_TICK))
    for name, by_count in found.items():
        print(f"{name:28}", *(f"{by_count[count]:10.2f}" for count in PER_TICK))


if __name__ == "__main__":
    main()
