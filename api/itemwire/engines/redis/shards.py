"""The engine on several Redis servers: each item is on one of them, notices are on all.

A node serves as long as it hears more than half of the servers, and a notice counts as posted
when more than half have it. Any two such majorities share a server: so a node that serves has heard
of every revocation that was answered, whichever servers are away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache, partial
from typing import Final, TypeVar

from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    Answer,
    Engine,
    EngineError,
    History,
    Sink,
    Span,
    UnfitEngine,
    new_secret,
)
from itemwire.engines.callbacks import answer_to, asked, in_time
from itemwire.engines.faults import PART_AWAY, UNKNOWN, EngineFault, Readiness
from itemwire.engines.named import is_probe
from itemwire.engines.notices import NOT_KEPT, NoticeMark, NoticePage, NoticeStore
from itemwire.engines.redis.client import slot_of
from itemwire.engines.redis.copies import NoticeCopies, unmarked
from itemwire.engines.redis.engine import tag_of
from itemwire.engines.redis.servers import SLOTS
from itemwire.engines.redis.shard import RedisShard
from itemwire.engines.redis.shard_notices import FROM_THE_FIRST, joined, read_until
from itemwire.engines.tasks import SEE_LOG, backoff, end, repeat
from itemwire.messages import Draft, Position

T = TypeVar("T")

logger = logging.getLogger("itemwire.engines")

LOOK_SECONDS: Final = 0.2  # between two looks at which servers are there, for the log
SECRET_ROUNDS: Final = 3  # one finds no secret, one finds those that were made at once


class RedisShards(Engine, NoticeStore):
    """Asks the server that has an item, and all servers for what every node has to hear."""

    def __init__(self, shards: Sequence[RedisShard], shown_url: str) -> None:
        self._shards = shards
        self._shown_url = shown_url
        self._needed = len(shards) // 2 + 1
        self._copies = NoticeCopies()
        self._sink = NO_SINK
        self._tasks: list[asyncio.Task[None]] = []
        self._agreeing: set[asyncio.Task[None]] = set()
        self._away: set[str] = set()  # the servers that the log calls away
        self._shard_of = lru_cache(maxsize=10_000)(self._find_shard)

    @property
    @override
    def is_available(self) -> bool:
        return sum(shard.is_available for shard in self._shards) >= self._needed

    @property
    @override
    def fault(self) -> EngineFault | None:
        return None if all(shard.is_available for shard in self._shards) else PART_AWAY

    @property
    @override
    def parts(self) -> Mapping[str, bool]:
        return {shard.name: shard.is_available for shard in self._shards}

    @override
    async def start(self, sink: Sink) -> None:
        await self.stop()
        self._sink, self._copies = sink, NoticeCopies()  # it knows of nothing any more
        inner = Sink(sink.deliver, self._apply, sink.lose, sink.hear, sink.miss)
        loop = asyncio.get_running_loop()
        tried: list[asyncio.Future[EngineError | None]] = []
        for shard in self._shards:
            tried.append(loop.create_future())
            bringing = self._bring(shard, inner, answer_to(tried[-1]))
            self._tasks.append(asyncio.create_task(bringing))
        try:
            self._check_start(await asyncio.gather(*tried))
        except BaseException:
            await self.stop()
            raise
        self._tasks.append(asyncio.create_task(repeat(LOOK_SECONDS, self._look)))

    def _check_start(self, outcomes: Sequence[EngineError | None]) -> None:
        """Check that the servers are what they have to be, and that enough of them are there."""
        problems = [problem for problem in outcomes if problem is not None]
        for problem in problems:
            if isinstance(problem, UnfitEngine):
                raise problem
        if len(self._shards) - len(problems) < self._needed:
            raise problems[0]
        known = [shard.run_id for shard in self._shards if shard.is_asked]
        if len(set(known)) < len(known):
            raise UnfitEngine(f"cannot use {self._shown_url}: two names lead to one server")

    async def _bring(
        self, shard: RedisShard, sink: Sink, tried: Callable[[EngineError | None], None]
    ) -> None:
        """Start a server's engine, again and again until that succeeds; then it goes on alone."""
        for pause in backoff():
            try:
                await shard.start(sink)
            except EngineError as error:
                problem = error
            except Exception:
                logger.exception("engine_failed")
                problem = EngineError(SEE_LOG)
            else:
                shard.problem = ""
                tried(None)
                return
            shard.problem = str(problem)
            tried(problem)
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        """Log which servers are away, and which are back."""
        for shard in self._shards:
            name, is_there = shard.name, shard.is_available
            if is_there and name in self._away:
                self._away.discard(name)
                logger.warning("engine_part_back server=%s", name)
            elif not is_there and name not in self._away:
                self._away.add(name)
                problem = shard.problem or "its connections were lost"
                logger.warning("engine_part_away server=%s problem=%s", name, problem)

    @override
    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        await end(*tasks, *self._agreeing)
        await asyncio.gather(*(shard.stop() for shard in self._shards))
        self._away = set()

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        shard = self._shard_of(channel)
        self._ask(shard, partial(shard.subscribe, channel), answer)

    @override
    def unsubscribe(self, channel: str) -> None:
        self._shard_of(channel).unsubscribe(channel)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        if is_probe(channel):
            self._try_all(lambda shard, take: shard.publish(channel, draft, take), answer)
            return
        shard = self._shard_of(channel)
        self._ask(shard, partial(shard.publish, channel, draft), answer)

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        shard = self._shard_of(channel)
        self._ask(shard, partial(shard.read, channel, span), answer)

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        shard = self._shard_of(channel)
        self._ask(shard, partial(shard.erase, channel), answer)

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        shard = self._shard_of(channel)
        self._ask(shard, partial(shard.tell, channel, words), answer)

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        if is_probe(key):
            self._try_all(lambda shard, take: shard.put(key, value, seconds, take), answer)
            return
        shard = self._shard_of(key)
        self._ask(shard, partial(shard.put, key, value, seconds), answer)

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        shard = self._shard_of(key)
        self._ask(shard, partial(shard.take, key), answer)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        copy = self._copies.mark(notice)
        take = _tally(len(self._shards), self._needed, answer)
        for shard in self._shards:
            shard.post(copy, until, take)

    def _apply(self, copy: bytes) -> None:
        if self._copies.is_new(copy):
            self._sink.apply(unmarked(copy))

    @property
    @override
    def notice_mark(self) -> NoticeMark:
        return NOT_KEPT  # each server counts for itself

    @override
    def read_notices(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        self._begin(self._read_all_notices(epoch, in_time(answer)))

    async def _read_all_notices(self, epoch: str, answer: Answer[NoticePage]) -> None:
        """Read the servers that are there: more than half have every notice that counts."""
        before = read_until(epoch)

        def ask(shard: RedisShard, take: Answer[NoticePage]) -> None:
            shard.read_notices(*before.get(shard.name, FROM_THE_FIRST), take)

        there = [shard for shard in self._shards if shard.is_available]
        told = await asyncio.gather(*(asked(partial(ask, shard)) for shard in there))
        pages = {
            shard.name: page
            for shard, page in zip(there, told, strict=True)
            if not isinstance(page, EngineError)
        }
        if len(pages) < self._needed:
            answer(EngineError("too few servers tell which notices they keep"))
        else:
            answer(joined(before, pages))

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        """Answer the secret that the servers keep, each a copy: the least, if they differ."""
        self._begin(self._agree(in_time(answer)))

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        """Do what several servers are asked for; at the stop it ends."""
        task = asyncio.create_task(work)
        self._agreeing.add(task)
        task.add_done_callback(self._agreeing.discard)

    async def _agree(self, answer: Answer[bytes]) -> None:
        made = new_secret()
        for _ in range(SECRET_ROUNDS):
            found = await self._ask_secrets("GET")
            if len(found) < self._needed:
                break
            known = [secret for secret in found.values() if secret is not None]
            if known:
                least = min(known)
                lacking = [shard for shard, secret in found.items() if secret != least]
                await self._ask_secrets("SET", least, shards=lacking)
                answer(least)
                return
            await self._ask_secrets("SET", made, "NX")  # whichever node is first, its secret stays
        answer(EngineError("too few servers have a secret, or take one"))

    async def _ask_secrets(
        self, command: str, *words: bytes | str, shards: Sequence[RedisShard] | None = None
    ) -> dict[RedisShard, bytes | None]:
        """Ask servers that are there, all by default, at once; return what they answer."""
        asked_shards = self._shards if shards is None else shards
        there = [shard for shard in asked_shards if shard.is_available]

        def ask(shard: RedisShard, take: Answer[bytes | None]) -> None:
            shard.ask_secret(command, take, *words)

        told = await asyncio.gather(*(asked(partial(ask, shard)) for shard in there))
        return {
            shard: secret
            for shard, secret in zip(there, told, strict=True)
            if not isinstance(secret, EngineError)
        }

    def _find_shard(self, key: str) -> RedisShard:
        """Return the server of a channel or key: slots are divided evenly, in the list's order."""
        return self._shards[slot_of(tag_of(key)) * len(self._shards) // SLOTS]

    def _ask(self, shard: RedisShard, ask: Callable[[Answer[T]], None], answer: Answer[T]) -> None:
        """Ask one server; who is refused because it is away is told that it is only this one."""

        def told(result: T | EngineError) -> None:
            if (
                isinstance(result, EngineError)
                and not shard.is_available
                and (result.fault is UNKNOWN or result.fault.readiness is Readiness.NOT_READY)
            ):
                result = EngineError(f"{shard.name}: {result}", PART_AWAY)
            answer(result)

        if shard.is_asked:
            ask(told)
        else:
            told(EngineError("it was not reached yet"))

    def _try_all(self, ask: Callable[[RedisShard, Answer[T]], None], answer: Answer[T]) -> None:
        """Try every server that is there: one that stores nothing degrades the whole."""
        there = [shard for shard in self._shards if shard.is_available]
        if not there:
            answer(EngineError("no server is there"))
            return
        take = _tally(len(there), len(there), answer)
        for shard in there:
            ask(shard, take)


def _tally(asked_count: int, needed: int, answer: Answer[T]) -> Answer[T]:
    """Return a callback that answers once so many have succeeded, or can no longer."""
    counts = {True: 0, False: 0}
    is_answered = False

    def take(result: T | EngineError) -> None:
        nonlocal is_answered
        is_error = isinstance(result, EngineError)
        counts[is_error] += 1
        if not is_answered and (
            counts[False] >= needed if not is_error else counts[True] > asked_count - needed
        ):
            is_answered = True
            answer(result)

    return take
