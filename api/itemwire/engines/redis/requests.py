"""Requests to a Redis server: all of one loop tick in one write, answered in their order."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from typing_extensions import override

from itemwire.engines.base import EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.redis.client import (
    AskError,
    ClusterDownError,
    Command,
    MakeConnection,
    NoScriptError,
    ReadOnlyError,
    RedisPyConnection,
    Reply,
    ResponseError,
    Word,
)
from itemwire.engines.redis.connection import RedisConnection
from itemwire.engines.redis.scripts import LuaScript

REQUEST_SECONDS: Final = 1.5  # with two looks of the connection still less than ANSWER_SECONDS

MAX_IN_FLIGHT_BYTES: Final = 64 * 1_048_576
CALL_BYTES: Final = 1000  # what a request costs beside its message


class RedisCall:
    """A command or script on its way to the server, and the callback for its reply."""

    __slots__ = ("answer", "arguments", "deadline", "is_asking", "keys", "moves", "script", "size")

    def __init__(
        self,
        answer: Callable[[Reply | EngineError], None],
        *arguments: Word,
        script: LuaScript | None = None,
        keys: tuple[str, ...] = (),
        size: int = 0,
    ) -> None:
        self.answer = answer
        self.arguments = arguments
        self.script = script
        self.keys = keys
        self.size = size + CALL_BYTES
        self.deadline = math.inf
        self.moves = 0
        self.is_asking = False  # sent with ASKING, once, while its slot is moving

    def command(self, life: str, known: set[str]) -> Command:
        """Return the command for a server of this life, which knows these scripts."""
        script = self.script
        if script is None:
            return self.arguments
        if script.sha in known:
            return ("EVALSHA", script.sha, len(self.keys), *self.keys, life, *self.arguments)
        known.add(script.sha)
        return ("EVAL", script.source, len(self.keys), *self.keys, life, *self.arguments)


class RedisRequests(RedisConnection):
    """Sends requests to one server and hands out its replies, which come in the same order."""

    def __init__(
        self,
        make_connection: MakeConnection,
        redirect: Callable[[RedisCall, AskError], None],
        *,
        is_cluster: bool,
    ) -> None:
        super().__init__("requests", make_connection)
        self._redirect = redirect
        self._is_cluster = is_cluster
        self._queue: list[RedisCall] = []
        self._pending: deque[RedisCall] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight_bytes = 0
        self._life = ""
        self._known: set[str] = set()

    def ask(self, call: RedisCall) -> None:
        """Send a request with the next tick; refuse it at once while the engine is away.

        While a broken connection is opened again, requests wait for it. The engine counts as away
        only when that has failed.
        """
        if self.is_away:
            call.answer(EngineError(f"the engine is away: {self.problem}"))
        elif self._in_flight_bytes + call.size > MAX_IN_FLIGHT_BYTES:
            call.answer(EngineError("the engine is too slow: too much waits for its answer"))
        else:
            if call.deadline == math.inf:
                call.deadline = asyncio.get_running_loop().time() + REQUEST_SECONDS
            self._in_flight_bytes += call.size
            self._queue.append(call)
            self._wake.set()
            self._expire_in_time()

    @override
    async def _greet(self, connection: RedisPyConnection) -> None:
        """Make sure that this is a server that takes writes, and learn which life it is in."""
        await connection.send_command("INFO", "server", check_health=False)
        info: bytes = await connection.read_response(disable_decoding=True, timeout=math.inf)
        fields = {
            name: value
            for name, _, value in (line.partition(":") for line in info.decode().splitlines())
        }
        mode = fields.get("server_mode", fields.get("redis_mode"))  # Valkey's word, and Redis'
        if (mode == "cluster") != self._is_cluster:
            is_one = "no part" if self._is_cluster else "a part"
            scheme = "redis" if self._is_cluster else "redis+cluster"
            raise EngineError(f"the server is {is_one} of a cluster: use {scheme}://")
        await connection.send_command("ROLE", check_health=False)
        role: list[Any] = await connection.read_response(disable_decoding=True, timeout=math.inf)
        if role[0] != b"master":
            raise EngineError("the server is a replica, and takes nothing")
        if "run_id" not in fields:
            raise EngineError("the server does not tell its run_id")
        self._life = fields["run_id"]
        self._known = set()

    @override
    def _fail(self, problem: str) -> None:
        sent, self._pending = self._pending, deque()
        for call in sent:
            self._settle(call, EngineError(f"the answer was lost: {problem}"))
        if self.is_away:
            queued, self._queue = self._queue, []
            for call in queued:
                self._settle(call, EngineError(f"the engine is away: {problem}"))
        self._expire_in_time()

    @override
    def _receive(self, reply: Reply | ResponseError) -> None:
        if not self._pending:
            raise EngineError(f"the server says what it was not asked: {reply}")
        call = self._pending.popleft()
        if not isinstance(reply, ResponseError):
            self._settle(call, reply)
        elif isinstance(reply, NoScriptError):
            self._known.clear()  # somebody has flushed them
            self._send_again(call)
        elif isinstance(reply, AskError):
            self._in_flight_bytes -= call.size
            self._redirect(call, reply)
        else:
            self._settle(call, EngineError(str(reply)))
            if isinstance(reply, ReadOnlyError | ClusterDownError):
                raise EngineError(f"the server takes nothing: {reply}")

    @override
    def _take_commands(self) -> list[Command]:
        queue, self._queue = self._queue, []
        commands: list[Command] = []
        for call in queue:
            if call.is_asking:
                self._pending.append(RedisCall(lambda _: None, "ASKING"))
                self._in_flight_bytes += CALL_BYTES
                commands.append(("ASKING",))
                call.is_asking = False
            self._pending.append(call)
            commands.append(call.command(self._life, self._known))
        return commands

    @override
    def _is_silent(self, now: float) -> bool:
        oldest = self._pending[0] if self._pending else None
        if oldest is None and self._queue:
            oldest = self._queue[0]
        if oldest is None:
            self.ask(RedisCall(lambda _: None, "PING"))
        return oldest is not None and oldest.deadline < now

    def _expire_in_time(self) -> None:
        """Let nothing wait too long for a connection; once there is one, `_watch` sees to it."""
        if self._queue and not self.is_connected and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._queue[0].deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self.is_connected:
            return
        now = asyncio.get_running_loop().time()
        queue, self._queue = self._queue, []
        for call in queue:
            if call.deadline <= now:
                self._settle(call, EngineError("the engine is away: no connection in time"))
            else:
                self._queue.append(call)
        self._expire_in_time()

    def _send_again(self, call: RedisCall) -> None:
        self._queue.append(call)
        self._wake.set()

    def _settle(self, call: RedisCall, answer: Reply | EngineError) -> None:
        self._in_flight_bytes -= call.size
        tell(call.answer, answer)
