"""Publishes for a while, breaks what can break, and checks every subscriber's log.

    python -m tests.stress --seconds 60 --engine sqlite:///stress.db

Publishers retry with the same key until they are answered. Watchers break off and resume. Stuck
readers take nothing. In the middle the server is killed with SIGKILL and started anew. Exits with
1 at the first hole, repeat, disagreement or lost message that nobody was told of.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.scenarios.clients import EVERYTHING, JSON, item_path, token
from tests.scenarios.processes import started

ITEM: Final = "stress"
SETTLE_SECONDS: Final = 30.0  # for the watchers to have everything, once nothing more comes
BREAK_SECONDS: Final = 0.7  # between a watcher's breaks, at most twice that
GONE: Final = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError)

Place = tuple[str, int]  # epoch, offset


class Unsound(Exception):
    """A log that is not as promised."""


@dataclass(slots=True)
class Address:
    """Where the server is at the moment."""

    url: str = ""

    @asynccontextmanager
    async def socket(self, subject: str, **query: object) -> AsyncIterator[ClientConnection]:
        """Connect to the item."""
        path = item_path(ITEM, {"token": token(subject, EVERYTHING), **query})
        async with connect(
            self.url.replace("http", "ws", 1) + path,
            subprotocols=[Subprotocol(JSON)],
            compression=None,
            open_timeout=5,
            close_timeout=1,
            proxy=None,
        ) as socket:
            yield socket


@dataclass(slots=True)
class Watcher:
    """A subscriber that notes all it is told, and goes on after a break where it was."""

    name: str
    address: Address
    randomness: random.Random
    log: dict[Place, Any] = field(default_factory=dict)
    position: Place | None = None
    resumed: int = 0
    told_of_loss: int = 0

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                await self._watch_once()
            except GONE:
                await asyncio.sleep(self.randomness.uniform(0.01, 0.1))  # as a client backs off

    async def _watch_once(self) -> None:
        query = {} if self.position is None else {"since": "{}:{}".format(*self.position)}
        async with self.address.socket(self.name, **query) as socket:
            self._begin(json.loads(await socket.recv()))
            until = time.monotonic() + self.randomness.uniform(0.1, 2) * BREAK_SECONDS
            while time.monotonic() < until:
                async with asyncio.timeout(BREAK_SECONDS):
                    self._take(json.loads(await socket.recv()))

    def _begin(self, welcome: dict[str, Any]) -> None:
        if welcome["recovered"]:
            self.resumed += 1
            return
        self.told_of_loss += self.position is not None
        self.position = welcome["epoch"], welcome["offset"]

    def _take(self, envelope: dict[str, Any]) -> None:
        if envelope["type"] == "gap":
            self.told_of_loss += 1
            self.position = envelope["epoch"], envelope["to"]
        elif envelope["type"] == "message" and self.position is not None:
            epoch, offset = self.position
            if envelope["offset"] != offset + 1:
                raise Unsound(f"{self.name}: {envelope['offset']} came after {offset} of {epoch}")
            self.position = epoch, offset + 1
            self.log[self.position] = envelope["data"]


@dataclass(slots=True)
class Publisher:
    """A publisher that repeats itself, by key, until it is answered."""

    name: str
    address: Address
    acknowledged: dict[str, Place] = field(default_factory=dict)
    is_over: bool = False

    async def publish(self) -> None:
        """Publish until it is over, one message after the other."""
        number = 0
        while not self.is_over:
            try:
                async with self.address.socket(self.name) as socket:
                    while not self.is_over:
                        await self._say(socket, f"{self.name}-{number}")
                        number += 1
            except GONE:
                await asyncio.sleep(0.02)  # as a client backs off

    async def _say(self, socket: ClientConnection, data: str) -> None:
        request = {"type": "publish", "ref": data, "data": data, "key": data}
        async with asyncio.timeout(5):
            await socket.send(json.dumps(request))
            while (answer := json.loads(await socket.recv())).get("ref") != data:
                pass
        if answer["type"] == "reply":
            self.acknowledged[data] = answer["epoch"], answer["offset"]
        elif not answer["temporary"]:
            raise Unsound(f"{self.name} was told {answer}")


@dataclass(slots=True)
class Run:
    """What a run was made of, and what came of it."""

    watchers: list[Watcher]
    publishers: list[Publisher]

    def check(self, *, is_durable: bool) -> str:
        """Compare all logs with each other and with what was acknowledged; sum it up."""
        truth: dict[Place, Any] = {}
        for watcher in self.watchers:
            _check_order(watcher)
            for place, data in watcher.log.items():
                if truth.setdefault(place, data) != data:
                    raise Unsound(f"{place} is {data} to {watcher.name} and {truth[place]} before")
        acknowledged: dict[str, Place] = {}
        for publisher in self.publishers:
            acknowledged |= publisher.acknowledged
        for data, place in acknowledged.items():
            if truth.get(place, data) != data:
                raise Unsound(f"{place} was acknowledged as {data} and heard as {truth[place]}")
        lost = [place for place in acknowledged.values() if place not in truth]
        told = sum(watcher.told_of_loss for watcher in self.watchers)
        if is_durable and (lost or told):
            raise Unsound(f"{len(lost)} acknowledged messages lost, {told} flagged, none may be")
        return (
            f"{len(acknowledged)} acknowledged, {len(truth)} heard by {len(self.watchers)} "
            f"watchers, {sum(one.resumed for one in self.watchers)} resumes, {told} told of loss"
        )


def _check_order(watcher: Watcher) -> None:
    """See that nothing was published twice: by one data, at two places of an epoch."""
    seen: dict[tuple[str, Any], int] = {}
    for (epoch, offset), data in watcher.log.items():
        if seen.setdefault((epoch, data), offset) != offset:
            raise Unsound(f"{data} is at {seen[epoch, data]} and at {offset} of {epoch}")


async def stay_stuck(address: Address, name: str) -> None:
    """Connect again and again, and read nothing."""
    while True:
        try:
            async with address.socket(name) as socket:
                socket.transport.pause_reading()
                await socket.wait_closed()
        except GONE:
            await asyncio.sleep(0.1)


async def run(engine: str, folder: Path, seconds: float, seed: int = 1) -> Run:
    """Run it; the server is killed once, in the middle."""
    randomness, address = random.Random(seed), Address()  # noqa: S311 - to be repeated
    watchers = [Watcher(f"watcher{number}", address, randomness) for number in range(6)]
    publishers = [Publisher(f"publisher{number}", address) for number in range(4)]
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
    settings = {
        "engine_url": engine,
        "history_size": "1000000",
        "history_bytes": "1000000000",
        "outbox_bytes": "100000",
    }
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        first = stack.enter_context(started(command, folder, **settings))
        address.url = first.server.url
        watching = [tasks.create_task(one.watch()) for one in watchers]
        watching += [tasks.create_task(stay_stuck(address, f"stuck{n}")) for n in range(4)]
        await _until(lambda: all(one.position is not None for one in watchers))
        publishing = [tasks.create_task(one.publish()) for one in publishers]
        await asyncio.sleep(seconds / 2)
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.process.wait)
        again = started(command, folder, **settings)
        second = await asyncio.to_thread(stack.enter_context, again)
        address.url = second.server.url
        await asyncio.sleep(seconds / 2)
        for publisher in publishers:
            publisher.is_over = True
        await asyncio.wait(publishing)
        await _all_heard(watchers, address)
        for task in watching:
            task.cancel()
    return Run(watchers, publishers)


async def _all_heard(watchers: list[Watcher], address: Address) -> None:
    """Wait until every watcher is where the item stands."""
    async with address.socket("last") as socket:
        welcome = json.loads(await socket.recv())
    end = welcome["epoch"], welcome["offset"]
    await _until(lambda: all(one.position == end for one in watchers))


async def _until(holds: Callable[[], bool]) -> None:
    """Look again and again, for a bounded time: what is waited for is in many places."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while not holds():  # noqa: ASYNC110 - there is no one event
            await asyncio.sleep(0.05)


@click.command()
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--engine", default="", help="By default a SQLite file that is thrown away.")
@click.option("--seed", default=1, show_default=True)
def main(seconds: float, engine: str, seed: int) -> None:
    """Run it once and say what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        url = engine or f"sqlite:///{folder}/stress.db"
        outcome = asyncio.run(run(url, Path(folder), seconds, seed))
    click.echo(outcome.check(is_durable=not url.startswith("memory:")))


if __name__ == "__main__":
    main()
