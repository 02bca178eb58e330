"""Requests to a Redis server: all of one loop tick in one write, answered in their order."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from typing_extensions import override

from itemwire.engines.base import EngineError, UnfitEngine
from itemwire.engines.callbacks import tell
from itemwire.engines.faults import Readiness
from itemwire.engines.redis.claims import CLAIM, OTHER_LIST, claim_of
from itemwire.engines.redis.client import (
    AskError,
    Command,
    MakeConnection,
    NoScriptError,
    RedisPyConnection,
    Reply,
    ResponseError,
    Word,
    code_of,
)
from itemwire.engines.redis.connection import RedisConnection, info_of
from itemwire.engines.redis.faults import refusal_of
from itemwire.engines.redis.scripts import LIFE, LuaScript
from itemwire.engines.redis.target import RedisTarget

REQUEST_SECONDS: Final = 1.5  # with two looks of the connection still less than ANSWER_SECONDS

TAKEN_OVER: Final = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN"})
"""Codes of errors after which another server may have taken over, perhaps with less."""

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
        target: RedisTarget,
    ) -> None:
        super().__init__(f"requests{target.at}", make_connection)
        self._redirect = redirect
        self._life_key = target.life_key  # none in a cluster: there a life is a process
        # Another list of servers has other items here: what it left behind must not go on.
        self._servers, self._claim_key = target.servers, target.claim_key
        self._queue: list[RedisCall] = []
        self._pending: deque[RedisCall] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._in_flight_bytes = 0
        self.run_id = ""  # of the server's process
        self._life = ""
        self._mark = ""  # of the life, or its name: as no other life has it
        self._doubted_mark = ""
        self._probe: RedisCall | None = None
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
        fields = await info_of(connection)
        mode = fields.get("server_mode", fields.get("redis_mode"))  # Valkey's word, and Redis'
        is_cluster = self._life_key is None
        if (mode == "cluster") != is_cluster:
            is_one = "no part" if is_cluster else "a part"
            scheme = "redis" if is_cluster else "redis+cluster"
            raise UnfitEngine(f"the server is {is_one} of a cluster: use {scheme}://")
        await connection.send_command("ROLE", check_health=False)
        self._check_role(await connection.read_response(disable_decoding=True, timeout=math.inf))
        await self._check_loaded(connection)
        self.run_id = fields["run_id"]
        await self._claim(connection)  # a node that may not be here must not begin a life
        self._life = await self._learn_life(connection)
        self._known = set()

    async def _check_loaded(self, connection: RedisPyConnection) -> None:
        """Make sure that the server has read what it kept: until then it answers INFO alone.

        A server whose disk fails refuses a PING too, and is read all the same.
        """
        await connection.send_command("PING", check_health=False)
        with contextlib.suppress(ResponseError):
            await connection.read_response(disable_decoding=True, timeout=math.inf)

    async def _claim(self, connection: RedisPyConnection) -> None:
        """Claim one of several servers for the list of this node."""
        if not self._servers:
            return
        words = ("", *claim_of(self._servers))
        await connection.send_command(
            "EVAL", CLAIM.source, 1, self._claim_key, *words, check_health=False
        )
        told: bytes = await connection.read_response(disable_decoding=True, timeout=math.inf)
        if told.decode() != self._servers:
            raise UnfitEngine(OTHER_LIST)

    async def _learn_life(self, connection: RedisPyConnection) -> str:
        """Return the life that all nodes agree on, which may begin now."""
        if self._life_key is None:
            return self.run_id
        run = f"{self.run_id}/{self._servers}" if self._servers else self.run_id
        words = (run, secrets.token_urlsafe(6), self._doubted_mark)
        await connection.send_command(
            "EVAL", LIFE.source, 1, self._life_key, *words, check_health=False
        )
        told: list[bytes] = await connection.read_response(disable_decoding=True, timeout=math.inf)
        life, self._mark = (word.decode() for word in told)
        return life

    def _check_role(self, role: list[Any]) -> None:
        """Check that the server takes writes; a replica may come back without what it had."""
        if role[0] != b"master":
            self._doubted_mark = self._mark
            raise EngineError("the server is a replica, and takes nothing")

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
            if call is self._probe:
                self._check_role(reply)
        elif isinstance(reply, NoScriptError):
            self._known.clear()  # somebody has flushed them
            self._send_again(call)
        elif isinstance(reply, AskError):
            self._in_flight_bytes -= call.size
            self._redirect(call, reply)
        else:
            refusal = refusal_of(reply)
            self._settle(call, refusal)
            if code_of(reply) in TAKEN_OVER:
                self._doubted_mark = self._mark
            if refusal.fault.readiness is Readiness.NOT_READY:
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
            self._probe = RedisCall(lambda _: None, "ROLE")  # it may have become a replica
            self.ask(self._probe)
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
