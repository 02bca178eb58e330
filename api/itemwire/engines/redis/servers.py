"""Which server has what: one for everything, or a cluster, where each key has its slot."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, ResponseError

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import answer_to
from itemwire.engines.redis.link import CONNECT_SECONDS, Reply
from itemwire.engines.redis.listener import RedisListener
from itemwire.engines.redis.requests import RedisCall, RedisRequests
from itemwire.engines.tasks import end, repeat
from itemwire.engines.urls import hide_password

logger = logging.getLogger("itemwire.engines")

CLUSTER: Final = "redis+cluster"
DATABASE: Final = re.compile(r"/?|/[0-9]+")  # what else there is, redis-py takes for no database
SLOTS: Final = 16384
MAX_MOVES: Final = 3  # of one request, from server to server
LOOK_SECONDS: Final = 0.5  # between two looks at which server has which slot, while it is in doubt
OPEN_SECONDS: Final = 5.0

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """What a URL names."""

    kind: type[AbstractConnection]
    options: dict[str, Any]
    is_cluster: bool
    shown: str  # without the password

    @classmethod
    def of(cls, url: str) -> RedisTarget:
        """Read a URL; ValueError says what is wrong with it."""
        scheme, _, rest = url.partition("://")
        is_cluster = scheme == CLUSTER
        try:
            if not DATABASE.fullmatch(urlsplit(url).path):
                raise ValueError("the database is no number")  # noqa: TRY301 - one sentence for all
            options: dict[str, Any] = dict(
                parse_url(f"{'redis' if is_cluster else scheme}://{rest}")
            )
            target = cls._of_options(options, hide_password(url), is_cluster=is_cluster)
            target.opener(target.address)()  # its options are known
        except (TypeError, ValueError):  # whose text may be a part of the password
            raise ValueError(
                f"ITEMWIRE_ENGINE_URL is not a URL as {scheme}://user:password@host:6379/0 "
                "(percent-encode what is special in the password), or its options after ? are not "
                "those of a connection of redis-py"
            ) from None
        return target

    @classmethod
    def _of_options(cls, options: dict[str, Any], shown: str, *, is_cluster: bool) -> RedisTarget:
        kind = options.pop("connection_class", Connection)
        options.setdefault("host", "localhost")
        options.setdefault("port", 6379)
        # RESP2, whose pub/sub connections answer a ping; no time limits but our own.
        options |= {"protocol": 2, "socket_timeout": None, "driver_info": None}
        options["socket_connect_timeout"] = CONNECT_SECONDS
        return cls(kind, options, is_cluster, shown)

    @property
    def address(self) -> Address:
        """Give the address that the URL names."""
        return self.options["host"], self.options["port"]

    def opener(self, address: Address) -> Callable[[], AbstractConnection]:
        """Make what makes connections to an address."""
        options = self.options | {"host": address[0], "port": address[1]}
        return lambda: self.kind(**options)


@dataclass(frozen=True, slots=True)
class ServerConnections:
    """The two connections to one server."""

    requests: RedisRequests
    listening: RedisListener

    @property
    def is_connected(self) -> bool:
        """Tell whether both connections are there."""
        return self.requests.is_connected and self.listening.is_connected


class RedisServers:
    """Finds the server of a key, keeps connections to all, and moves with the slots."""

    def __init__(self, target: RedisTarget, received: Callable[[list[Reply]], None]) -> None:
        self._target = target
        self._received = received
        self._servers: dict[Address, ServerConnections] = {}
        self._slots: list[Address] = [target.address] * (SLOTS if target.is_cluster else 0)
        self._only: ServerConnections | None = None
        self._is_doubtful = False
        self.refusal = ""  # why a channel could not be heard
        self._task: asyncio.Task[None] | None = None

    @property
    def is_available(self) -> bool:
        """Tell whether all servers are there."""
        return bool(self._servers) and all(one.is_connected for one in self._servers.values())

    async def start(self) -> None:
        """Connect to all; EngineError where one does not answer."""
        first = self._make(self._target.address)
        first.requests.start()  # alone first: whatever is wrong is said once
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await first.requests.first_attempt()
                first.listening.start()
                await first.listening.first_attempt()
                if self._target.is_cluster:
                    await self._look()
                    await self._open(list(self._servers.values()))
                    self._task = asyncio.create_task(repeat(LOOK_SECONDS, self._look_again))
                else:
                    self._only = first
        except TimeoutError as error:
            raise EngineError("no answer in time") from error

    async def stop(self) -> None:
        """Close all connections."""
        task, self._task = self._task, None
        await end(task)
        for server in self._servers.values():
            await server.listening.stop()
            await server.requests.stop()
        self._servers = {}

    def ask(self, key: str, call: RedisCall) -> None:
        """Send a request to the server that has a key."""
        if self._servers:
            (self._only or self._server_of(key)).requests.ask(call)
        else:
            call.answer(EngineError("the engine is not started"))

    def hear(self, name: str) -> None:
        """Hear a channel of Redis on the server that has it."""
        if self._servers:
            (self._only or self._server_of(name)).listening.hear(name)

    def leave(self, name: str) -> None:
        """Hear it no more, wherever it was heard."""
        for server in self._servers.values():
            server.listening.leave(name)

    def _server_of(self, key: str) -> ServerConnections:
        return self._servers[self._slots[key_slot(key.encode())]]

    def _add(self, address: Address) -> ServerConnections:
        server = self._make(address)
        server.requests.start()
        server.listening.start()
        return server

    def _make(self, address: Address) -> ServerConnections:
        opener, is_cluster = self._target.opener(address), self._target.is_cluster
        words = ("SSUBSCRIBE", "SUNSUBSCRIBE") if is_cluster else ("SUBSCRIBE", "UNSUBSCRIBE")
        server = ServerConnections(
            RedisRequests(opener, self._redirect, is_cluster=is_cluster),
            RedisListener(opener, self._received, self._refused, words),
        )
        self._servers[address] = server
        return server

    async def _open(self, servers: Iterable[ServerConnections]) -> None:
        for server in servers:
            await server.requests.first_attempt()
            await server.listening.first_attempt()

    def _redirect(self, call: RedisCall, error: AskError) -> None:
        """Send a request where the server says that it belongs now."""
        call.moves += 1
        if call.moves > MAX_MOVES:
            call.answer(EngineError(f"no server of the cluster has it: {error}"))
        else:
            address = (error.host or self._target.address[0], error.port)
            call.is_asking = not isinstance(error, MovedError)
            if not call.is_asking:
                self._slots[error.slot_id] = address
                self._is_doubtful = True
            (self._servers.get(address) or self._add(address)).requests.ask(call)

    def _refused(self, problem: ResponseError | list[Reply]) -> None:
        """Hear that a channel is elsewhere now, or that nobody may hear it."""
        self._is_doubtful = True
        if isinstance(problem, ResponseError) and not isinstance(problem, MovedError):
            self.refusal = str(problem)
            logger.error("engine_refused problem=%s", problem)

    async def _look_again(self) -> None:
        if self._is_doubtful or not self.is_available:
            try:
                await self._look()
            except EngineError:
                self._is_doubtful = True  # it is asked again

    async def _look(self) -> None:
        """Learn which server has which slot, and hear every channel where it is now."""
        self._is_doubtful = False
        for address, slots in (await self._ask_slots()).items():
            if address not in self._servers:
                self._add(address)
            for first, last in slots:
                self._slots[first : last + 1] = [address] * (last + 1 - first)
        heard = [
            (server, name) for server in self._servers.values() for name in server.listening.names
        ]
        for server, name in heard:
            now = self._server_of(name)
            if now is not server:
                server.listening.leave(name)
                now.listening.hear(name)
        for address in set(self._servers) - set(self._slots):
            gone = self._servers.pop(address)
            await gone.listening.stop()
            await gone.requests.stop()

    async def _ask_slots(self) -> dict[Address, list[tuple[int, int]]]:
        """Ask one server after the other, until one answers."""
        loop = asyncio.get_running_loop()
        for (host, _), server in list(self._servers.items()):
            if not server.requests.is_connected:
                continue
            answered: asyncio.Future[Reply | EngineError] = loop.create_future()
            server.requests.ask(RedisCall(answer_to(answered), "CLUSTER", "SLOTS"))
            reply = await answered
            if isinstance(reply, list) and reply:
                return _slots_by_address(reply, host)
        if self._target.address not in self._servers:
            self._add(self._target.address)  # the way in, for when all that were known are gone
        raise EngineError("no server of the cluster tells which has what")


def _slots_by_address(reply: list[Reply], asked: str) -> dict[Address, list[tuple[int, int]]]:
    found: dict[Address, list[tuple[int, int]]] = {}
    for first, last, primary, *_ in reply:
        host = (primary[0] or b"").decode() or asked  # empty: the one that was asked
        found.setdefault((host, primary[1]), []).append((first, last))
    return found
