"""Which server has which key: one server has all of them, a cluster has them by slots."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import answer_to
from itemwire.engines.networked import NO_ANSWER
from itemwire.engines.redis.client import (
    AskError,
    MovedError,
    Reply,
    ResponseError,
    moved_to,
    slot_of,
)
from itemwire.engines.redis.listener import RedisListener
from itemwire.engines.redis.requests import RedisCall, RedisRequests
from itemwire.engines.redis.target import Address, RedisTarget
from itemwire.engines.tasks import end, repeat

logger = logging.getLogger("itemwire.engines")

SLOTS: Final = 16384
MAX_MOVES: Final = 3  # of one request, from server to server
LOOK_SECONDS: Final = 0.5  # between two looks at the slots, while their places are in doubt
OPEN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ServerConnections:
    """The two connections to one server."""

    requests: RedisRequests
    listener: RedisListener

    @property
    def is_connected(self) -> bool:
        """Return whether both are connected."""
        return self.requests.is_connected and self.listener.is_connected

    @property
    def is_away(self) -> bool:
        """Return whether one of them is lost, and could not be made anew."""
        return self.requests.is_away or self.listener.is_away

    def start(self) -> None:
        """Begin to connect both."""
        self.requests.start()
        self.listener.start()

    async def first_attempt(self) -> None:
        """Wait until both are connected; EngineError if that failed."""
        await self.requests.first_attempt()
        await self.listener.first_attempt()

    async def stop(self) -> None:
        """Disconnect both."""
        await self.listener.stop()
        await self.requests.stop()


class RedisServers:
    """Finds the server of a key, keeps connections to all servers, and follows moving slots."""

    def __init__(self, target: RedisTarget, receive: Callable[[list[Reply]], None]) -> None:
        self._target = target
        self._on_push = receive
        self._servers: dict[Address, ServerConnections] = {}
        self._slots: list[Address] = [target.address] * (SLOTS if target.is_cluster else 0)
        self._only: ServerConnections | None = None
        self._first: RedisRequests | None = None
        self._are_slots_stale = False
        self._refusal = ""  # why listening to a channel was refused
        self._task: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """Return whether all servers are connected."""
        return bool(self._servers) and all(one.is_connected for one in self._servers.values())

    @property
    def is_away(self) -> bool:
        """Return whether no server would take a request and listen to a channel."""
        return all(one.is_away for one in self._servers.values())

    @property
    def run_id(self) -> str:
        """Return which process the server is, where there is only one; else nothing."""
        return self._only.requests.run_id if self._only else ""

    @property
    def start_problem(self) -> str:
        """Return why a start was not over in time, as far as that is known; else ""."""
        first = self._first
        return self._refusal or (first.problem if first and not first.is_connected else "")

    async def start(self) -> None:
        """Connect to all servers; EngineError if one of them does not answer."""
        first = self._make(self._target.address)
        self._first = first.requests
        first.requests.start()  # alone first, so that whatever is wrong is logged once
        await first.requests.first_attempt()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                first.listener.start()
                await first.listener.first_attempt()
                if self._target.is_cluster:
                    await self._learn_slots()
                    await _all_connected(list(self._servers.values()))
                    self._task = asyncio.create_task(repeat(LOOK_SECONDS, self._look_again))
                else:
                    self._only = first
        except TimeoutError as error:
            raise EngineError(NO_ANSWER) from error

    async def stop(self) -> None:
        """Close all connections."""
        task, self._task = self._task, None
        await end(task)
        for server in self._servers.values():
            await server.stop()
        self._servers = {}

    def ask(self, key: str, call: RedisCall) -> None:
        """Send a request to the server that has a key."""
        if self._servers:
            (self._only or self._server_of(key)).requests.ask(call)
        else:
            call.answer(EngineError("the engine is not started"))

    def listen(self, name: str) -> None:
        """Listen to a pub/sub channel on the server that has it."""
        if self._servers:
            (self._only or self._server_of(name)).listener.listen(name)

    def leave(self, name: str) -> None:
        """Listen to it no longer, on whichever server."""
        for server in self._servers.values():
            server.listener.leave(name)

    def _server_of(self, key: str) -> ServerConnections:
        return self._servers[self._slots[slot_of(key)]]

    def _add(self, address: Address) -> ServerConnections:
        server = self._make(address)
        server.start()
        return server

    def _make(self, address: Address) -> ServerConnections:
        maker, is_cluster = self._target.maker(address), self._target.is_cluster
        words = ("SSUBSCRIBE", "SUNSUBSCRIBE") if is_cluster else ("SUBSCRIBE", "UNSUBSCRIBE")
        target = self._target
        requests = RedisRequests(maker, self._redirect, target)
        listener = RedisListener(
            maker, self._on_push, self._take_refusal, words, requests, at=target.at
        )
        server = self._servers[address] = ServerConnections(requests, listener)
        return server

    def _redirect(self, call: RedisCall, error: AskError) -> None:
        """Send a request to the server that has its slot by now.

        MOVED is for good, so the slot is known to be there from now on. ASK is for this request
        only: its key has moved already, while the slot as a whole is still moving.
        """
        call.moves += 1
        if call.moves > MAX_MOVES:
            call.answer(EngineError(f"no server of the cluster has it: {error}"))
            return
        host, port, slot = moved_to(error)
        address = (host or self._target.address[0], port)
        call.is_asking = not isinstance(error, MovedError)
        if not call.is_asking:
            self._slots[slot] = address
            self._are_slots_stale = True
        (self._servers.get(address) or self._add(address)).requests.ask(call)

    def _take_refusal(self, problem: ResponseError | list[Reply]) -> None:
        """Take note that a channel is on another server now, or that listening is forbidden."""
        self._are_slots_stale = True
        if isinstance(problem, ResponseError) and not isinstance(problem, MovedError):
            self._refusal = str(problem)
            logger.error("engine_refused problem=%s", problem)

    async def _look_again(self) -> None:
        if self._are_slots_stale or not self.is_connected:
            try:
                await self._learn_slots()
            except EngineError:
                self._are_slots_stale = True  # so that it is tried again

    async def _learn_slots(self) -> None:
        """Learn which server has which slot, and listen to every channel where it is now."""
        self._are_slots_stale = False
        for address, slots in (await self._ask_slots()).items():
            if address not in self._servers:
                self._add(address)
            for first, last in slots:
                self._slots[first : last + 1] = [address] * (last + 1 - first)
        self._move_listeners()
        for address in set(self._servers) - set(self._slots):
            await self._servers.pop(address).stop()

    def _move_listeners(self) -> None:
        listening = [
            (server, name) for server in self._servers.values() for name in server.listener.names
        ]
        for server, name in listening:
            now = self._server_of(name)
            if now is not server:
                server.listener.leave(name)
                now.listener.listen(name)

    async def _ask_slots(self) -> dict[Address, list[tuple[int, int]]]:
        """Ask one server after the other, until one answers."""
        loop = asyncio.get_running_loop()
        for (host, _), server in list(self._servers.items()):
            if not server.requests.is_connected:
                continue
            answered: asyncio.Future[Reply | EngineError] = loop.create_future()
            server.requests.ask(RedisCall(answer_to(answered), "CLUSTER", "SLOTS"))
            reply: Reply | EngineError = await answered
            if reply and not isinstance(reply, EngineError):
                return _slots_by_address(reply, host)
        if self._target.address not in self._servers:
            self._add(self._target.address)  # the way in, if all servers that were known are gone
        raise EngineError("no server of the cluster tells which has what")


async def _all_connected(servers: Iterable[ServerConnections]) -> None:
    for server in servers:
        await server.first_attempt()


def _slots_by_address(reply: list[Reply], asked: str) -> dict[Address, list[tuple[int, int]]]:
    found: dict[Address, list[tuple[int, int]]] = {}
    for first, last, primary, *_ in reply:
        host = (primary[0] or b"").decode() or asked  # empty for the server that was asked
        found.setdefault((host, primary[1]), []).append((first, last))
    return found
