"""Publishers and watchers: each records its messages, and stops at one that is wrong."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from itemwire.engines.base import ANSWER_SECONDS
from tests.scenarios.clients import EVERYTHING, JSON, item_path, token

ITEM: Final = "stress"
BREAK_SECONDS: Final = 0.7  # between a watcher's breaks, at most twice that
STUCK_SECONDS: Final = 5.0
BACKOFF_SECONDS: Final = 0.02
TOKEN_SECONDS: Final = 86_400  # longer than a run
BUSY_SECONDS: Final = 3.0  # what a busy machine, with all clients in one process, may add
PUBLISH_SECONDS: Final = ANSWER_SECONDS + BUSY_SECONDS
JOIN_SECONDS: Final = 2 * ANSWER_SECONDS + BUSY_SECONDS  # it listens, then it reads
GONE: Final = (ConnectionClosed, InvalidHandshake, OSError)

Position = tuple[str, int]  # epoch, offset
T = TypeVar("T")


class Unsound(Exception):
    """What must not be."""


async def promptly(answer: Awaitable[T], seconds: float, what: str) -> T:
    """Wait for an answer, or for the connection to break: nothing else may come of it."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise Unsound(f"{what}: {seconds:g} s of silence") from None


@dataclass(slots=True)
class Addresses:
    """Where the nodes are at the moment; one that is not there has none."""

    urls: list[str]

    @asynccontextmanager
    async def socket(
        self, subject: str, attempt: int, item_id: str = ITEM, **query: object
    ) -> AsyncIterator[ClientConnection]:
        """Connect to an item: with each attempt on the next node, as a load balancer has it."""
        url = self.urls[attempt % len(self.urls)]
        if not url:
            raise ConnectionRefusedError("the node is not there")
        path = item_path(
            item_id, {"token": token(subject, EVERYTHING, lifetime=TOKEN_SECONDS), **query}
        )
        connecting = connect(
            url.replace("http", "ws", 1) + path,
            subprotocols=[Subprotocol(JSON)],
            compression=None,
            max_size=None,
            open_timeout=None,
            close_timeout=1,
            proxy=None,
        )
        socket = await promptly(connecting, JOIN_SECONDS, f"handshake of {subject}")
        async with socket:
            yield socket


@dataclass(slots=True)
class Watcher:
    """A subscriber that goes on after a break where it was; one that is steadfast makes none."""

    name: str
    addresses: Addresses
    randomness: random.Random
    attempts: int
    is_steadfast: bool
    log: dict[Position, Any] = field(default_factory=dict)
    position: Position | None = None
    resumed: int = 0
    losses: list[tuple[Position, Position]] = field(default_factory=list)  # that it was told of
    ends: Counter[str] = field(default_factory=Counter)  # of its sockets, but by itself
    members: set[str] = field(default_factory=set)

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            self.attempts += 1
            try:
                await self._watch_once()
            except GONE:
                await asyncio.sleep(self.randomness.uniform(0.01, 0.1))  # as a client backs off

    async def _watch_once(self) -> None:
        query = {} if self.position is None else {"since": "{}:{}".format(*self.position)}
        async with self.addresses.socket(self.name, self.attempts, **query) as socket:
            self._begin(json.loads(await promptly(socket.recv(), JOIN_SECONDS, self.name)))
            try:
                async with asyncio.timeout(self._stay()):
                    while True:
                        self._take(json.loads(await socket.recv()))
            except TimeoutError:
                if self.randomness.random() < 0.5:
                    socket.transport.abort()  # as a phone that loses its network
            except ConnectionClosed as ended:
                self.ends[ended.rcvd.reason if ended.rcvd else ""] += 1

    def _stay(self) -> float | None:
        return None if self.is_steadfast else self.randomness.uniform(0.1, 2) * BREAK_SECONDS

    def _begin(self, welcome: dict[str, Any]) -> None:
        if welcome["type"] == "closing":
            if welcome["reason"] != "overloaded":
                raise Unsound(f"{self.name} was refused with {welcome}")
            raise ConnectionAbortedError("the engine is away")
        self.members = {one["connection"] for one in welcome["members"]}
        position = welcome["epoch"], welcome["offset"]
        if welcome["recovered"]:
            if self.position is None or position[0] != self.position[0]:
                raise Unsound(f"{self.name} recovered from {self.position} to {position}")
            self.resumed += 1
        else:
            self._go_on_from(position)

    def _take(self, envelope: dict[str, Any]) -> None:
        assert self.position is not None
        if envelope["type"] == "gap":
            self._go_on_from((envelope["epoch"], envelope["to"]))
        elif envelope["type"] == "message":
            epoch, offset = self.position
            if envelope["offset"] != offset + 1:
                raise Unsound(f"{self.name}: {envelope['offset']} came after {offset} of {epoch}")
            self.position = epoch, offset + 1
            self.log[self.position] = envelope["data"]
        elif envelope["type"] == "joined":
            connection = envelope["member"]["connection"]
            if connection in self.members:
                raise Unsound(f"{self.name} was told twice that {connection} joined")
            self.members.add(connection)
        elif envelope["type"] == "left":
            self.members.discard(envelope["member"]["connection"])

    def _go_on_from(self, position: Position) -> None:
        """Go on from a position, and note that messages before it were reported as lost."""
        if self.position is not None:
            self.losses.append((self.position, position))
        self.position = position


@dataclass(slots=True)
class Publisher:
    """A publisher that repeats itself, by key, until its message is stored."""

    name: str
    addresses: Addresses
    attempts: int
    pace: float  # seconds between an answer and the next message
    acknowledged: dict[str, Position] = field(default_factory=dict)
    refused: int = 0
    slowest: float = 0
    is_over: bool = False

    async def publish(self) -> None:
        """Publish until it is over, one message after the other."""
        while not self.is_over:
            self.attempts += 1
            try:
                async with self.addresses.socket(self.name, self.attempts) as socket:
                    while not self.is_over:
                        await self._say(socket, f"{self.name}-{len(self.acknowledged)}")
            except GONE:
                await asyncio.sleep(BACKOFF_SECONDS)

    async def _say(self, socket: ClientConnection, data: str) -> None:
        begun = time.monotonic()
        answer = await promptly(ask(socket, data), PUBLISH_SECONDS, self.name)
        self.slowest = max(self.slowest, time.monotonic() - begun)
        if answer["type"] == "reply":
            self.acknowledged[data] = answer["epoch"], answer["offset"]
            await asyncio.sleep(self.pace)
        elif answer["temporary"]:
            self.refused += 1
            await asyncio.sleep(BACKOFF_SECONDS)
        else:
            raise Unsound(f"{self.name} was told {answer}")


async def ask(socket: ClientConnection, data: str) -> dict[str, Any]:
    """Publish under a key; give the answer, past all else that comes."""
    await socket.send(json.dumps({"type": "publish", "ref": data, "data": data, "key": data}))
    while (answer := dict(json.loads(await socket.recv()))).get("ref") != data:
        pass
    return answer


async def stay_stuck(addresses: Addresses, name: str, attempts: int) -> None:
    """Connect again and again, and read nothing, not even that the socket has ended."""
    while True:
        attempts += 1
        try:
            async with addresses.socket(name, attempts) as socket:
                socket.transport.pause_reading()
                await asyncio.sleep(STUCK_SECONDS)
                socket.transport.abort()
        except GONE:
            await asyncio.sleep(5 * BACKOFF_SECONDS)
