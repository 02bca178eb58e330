"""What nodes cost each other as there are more: `python -m benchmarks.nodes --nodes 2,4,8`.

Real processes on one Redis, each a whole node without sockets. What is measured is what the server
sends to all of them, and their processor time: at rest, with private joins (each to an item that
nobody else hears), after the connection broke by which one hears the others, and after one began to
hear what they hear. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from typing_extensions import override

from itemwire.channels.delivery.outbox import OwnChunk, Transport
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.names import channel_of
from itemwire.channels.node import Node
from itemwire.channels.sessions.item import ItemSession
from itemwire.engines import open_engine
from itemwire.engines.base import Bounds
from itemwire.transports.asgi import FRAME_BY_FRAME
from itemwire.wire import CODECS
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
from tests.redis_server import RedisServer, running_redis

ROOT: Final = Path(__file__).parents[1]
AT_ONCE: Final = 20  # joins
JOINS_PER_SECOND: Final = 20
CALM_BYTES: Final = 50_000  # a second beside those at rest
BROKEN_SECONDS: Final = 3.5  # longer than from one sign of life to the next
SETTLE_SECONDS: Final = 20.0  # in which what follows a join is over
CALM_SECONDS: Final = 2.0
MOST_SECONDS: Final = 120.0
TICKS: Final = os.sysconf("SC_CLK_TCK")
LIMITS: Final = Limits(100_000, 10_000_000, 50, 20, presence_grace=5, presence_limit=10**6)


class Nowhere(Transport):
    """Takes everything and keeps nothing."""

    framing = FRAME_BY_FRAME

    @override
    def write(self, chunk: OwnChunk, /) -> None: ...

    @override
    def unsent(self) -> int:
        return 0

    @override
    def discard(self) -> None: ...

    @override
    def close(self, code: int, reason: str) -> None: ...


async def be_node(url: str) -> None:
    """Run a node that does what it is told line by line, until there is no line."""
    node = Node(
        open_engine(url, Bounds(100, 1_000_000, 300)), LIMITS, shared_slots=ConnectionSlots()
    )
    await node.start()
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: lines.put_nowait(sys.stdin.readline()))
    ticking = asyncio.create_task(_tick(node))
    while line := await lines.get():
        task = json.loads(line)
        for item in task.get("join", ()):
            for number in range(task.get("members", 1)):
                _join(node, item, f"{os.getpid()}-{number}")
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0.01)
        known = node._presence  # noqa: SLF001 - what it knows, without asking the others
        counts = [known.page(channel_of(one), 1).count for one in task.get("count", ())]
        sys.stdout.write(json.dumps(counts) + "\n")
        sys.stdout.flush()
    ticking.cancel()


async def _tick(node: Node) -> None:
    while True:
        await asyncio.sleep(1)
        node.tick()


def _join(node: Node, item: str, subject: str) -> None:
    caller = Principal("https://issuer.example", subject, ScopeSet(), int(time.time()) + 86_400)
    connection = node.connect(caller, CODECS["itemwire.v1.json"], Nowhere())
    rights = frozenset({Action.SUBSCRIBE})  # nobody is told, which is another cost
    ItemSession(node, connection, Grant(caller, item, rights)).opened()


class NodeProcess:
    """One of the nodes."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "benchmarks.nodes", "--as-node", url]
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def do(self, **task: object) -> list[int]:
        """Have it do something; return the counts that were asked for."""
        self.begin(**task)
        return self.end()

    def begin(self, **task: object) -> None:
        """Have it begin to do something."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()

    def end(self) -> list[int]:
        """Wait until it is done."""
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        counts: list[int] = json.loads(self._process.stdout.readline())
        return counts

    @property
    def cpu(self) -> float:
        """Return the seconds of a processor that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class Scene:
    """Some nodes on a Redis, and what they cost."""

    def __init__(self, server: RedisServer, count: int) -> None:
        self._server = server
        self.nodes: list[NodeProcess] = []
        for _ in range(count):
            self.nodes.append(NodeProcess(server.url))
            self.nodes[-1].do()
        time.sleep(3)  # until all know each other

    @property
    def bytes_out(self) -> int:
        """Return what the server has sent."""
        info = self._server.ask("INFO", "stats").decode()
        return int(info.partition("total_net_output_bytes:")[2].split()[0])

    @property
    def cpu(self) -> float:
        """Return the seconds that all nodes have used."""
        return sum(node.cpu for node in self.nodes)

    def during(
        self, seconds: float, work: Callable[[], None] = lambda: None
    ) -> tuple[float, float]:
        """Return the bytes and the seconds of a processor for each second of some work."""
        out, cpu, begun = self.bytes_out, self.cpu, time.monotonic()
        work()
        time.sleep(max(begun + seconds - time.monotonic(), 0))
        took = time.monotonic() - begun
        return (self.bytes_out - out) / took, (self.cpu - cpu) / took

    def join_privately(self, seconds: float) -> None:
        """Join an item of its own with each caller, on one node after the other."""
        begun = time.monotonic()
        for number in range(int(seconds * JOINS_PER_SECOND)):
            time.sleep(max(begun + number / JOINS_PER_SECOND - time.monotonic(), 0))
            self.nodes[number % len(self.nodes)].do(join=[f"private-{number}"])

    def fill(self, items: Sequence[str], members: int) -> None:
        """Have so many members of each node on each item, until each node lists all."""
        for node in self.nodes:
            node.do(join=items, members=members)
        self.until_right(items, members * len(self.nodes))

    def until_right(self, items: Sequence[str], members: int) -> float:
        """Wait until each node lists so many members of each item; return the seconds."""
        begun, wanted = time.monotonic(), [members] * len(items)
        while not all(node.do(count=items) == wanted for node in self.nodes):
            if time.monotonic() - begun > MOST_SECONDS:
                raise click.ClickException("the lists do not become right")
            time.sleep(0.2)
        return time.monotonic() - begun

    def break_one(self, at_rest: float, joining: Sequence[str] = ()) -> tuple[float, float, float]:
        """Break the connection by which one node hears; return bytes, seconds, processor time.

        It is broken again and again until each other node has said something meanwhile. One more
        member of each node joins these items while it is.
        """
        out, cpu, begun = self.bytes_out, self.cpu, time.monotonic()
        joins = iter(self.nodes)
        while time.monotonic() < begun + BROKEN_SECONDS:
            clients = self._server.ask("CLIENT", "LIST", "TYPE", "pubsub")
            out += len(clients)  # sent to us, and to no node
            ids = [int(one) for one in re.findall(rb"^id=(\d+)", clients, re.MULTILINE)]
            if len(ids) == len(self.nodes):
                self._server.ask("CLIENT", "KILL", "ID", max(ids))  # the one that came last
                for node in joins:  # with the first time
                    node.begin(join=joining)
            time.sleep(0.005)
        for node in self.nodes:
            node.end()
        return self._until_calm(at_rest, out, cpu)

    def begin_one(self, at_rest: float, items: Sequence[str]) -> tuple[float, float, float]:
        """Start a node, and have it hear items; return bytes, seconds, processor time."""
        self.nodes.append(NodeProcess(self._server.url))
        self.nodes[-1].do()
        out, cpu = self.bytes_out, self.cpu
        self.nodes[-1].do(join=items)
        return self._until_calm(at_rest, out, cpu)

    def _until_calm(self, at_rest: float, out: float, cpu: float) -> tuple[float, float, float]:
        """Wait until no more is sent than at rest; return what it came to since."""
        calm_since = last_at = begun = time.monotonic()
        last = self.bytes_out
        while calm_since + CALM_SECONDS > last_at and last_at < begun + MOST_SECONDS:
            time.sleep(1)  # less may hold the signs of life of most nodes
            now, at = self.bytes_out, time.monotonic()
            if (now - last) / (at - last_at) > at_rest + CALM_BYTES:
                calm_since = at
            last, last_at = now, at
        idle = at_rest * (last_at - begun)
        return last - out - idle, calm_since - begun, self.cpu - cpu

    def stop(self) -> None:
        """End all of it."""
        for node in self.nodes:
            node.stop()


@contextlib.contextmanager
def scene(count: int) -> Iterator[Scene]:
    """Run a Redis and so many nodes for as long as this is entered."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as server:
        one = Scene(server, count)
        try:
            yield one
        finally:
            one.stop()


def measure(
    count: int, seconds: float, members: int, items: int, settle: float = SETTLE_SECONDS
) -> dict[str, Any]:
    """Measure so many nodes."""
    with scene(count) as nodes:
        rest, rest_cpu = nodes.during(seconds)
        private, private_cpu = nodes.during(seconds, lambda: nodes.join_privately(seconds))
        time.sleep(settle)
        figures: dict[str, Any] = {
            "nodes": count,
            "at_rest_kb_s": round(rest / 1000, 1),
            "at_rest_cpu": round(rest_cpu / count, 3),
            "private_kb_s": round(private / 1000, 1),
            "private_bytes_a_join": round((private - rest) / JOINS_PER_SECOND),
            "private_cpu": round(private_cpu / count, 3),
        }
    with scene(count) as nodes:
        names = [f"shared-{number}" for number in range(items)]
        each = members // items
        there = count * each
        nodes.fill(names, each)
        time.sleep(settle)
        rest, _ = nodes.during(seconds)
        figures["shared_at_rest_kb_s"] = round(rest / 1000, 1)
        figures |= after("break", nodes.break_one(rest), nodes.until_right(names, there))
        busy = nodes.break_one(rest, joining=names)
        figures |= after("busy_break", busy, nodes.until_right(names, there + count))
        begun = nodes.begin_one(rest, names)
        return figures | after("begin", begun, nodes.until_right(names, there + count + 1))


def after(what: str, figures: tuple[float, float, float], wrong_seconds: float) -> dict[str, Any]:
    """Name the figures of what happened, and when all lists were right."""
    out, calm, cpu = figures
    return {
        f"{what}_mb": round(out / 1e6, 2),
        f"{what}_calm_s": round(calm, 1),
        f"{what}_cpu_s": round(cpu, 2),
        f"{what}_right_after_s": round(calm + CALM_SECONDS + wrong_seconds, 1),
    }


@click.command()
@click.option("--nodes", default="2,4,8", help="How many nodes, one after the other.")
@click.option("--seconds", default=10.0, help="Of each measurement.")
@click.option("--members", default=2000, help="Of each node, on items that all nodes hear.")
@click.option("--items", default=20, help="That all nodes hear.")
@click.option("--as-node", hidden=True)
def main(nodes: str, seconds: float, members: int, items: int, as_node: str | None) -> None:
    """Measure what nodes cost each other."""
    if as_node is not None:
        asyncio.run(be_node(as_node))
        return
    for count in map(int, nodes.split(",")):
        click.echo(json.dumps(measure(count, seconds, members, items)))


if __name__ == "__main__":
    main()
