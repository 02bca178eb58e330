"""One of several Redis servers, none of which knows of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from typing_extensions import override

from itemwire.engines.base import Apply, ChannelBounds, EngineError, Sink
from itemwire.engines.callbacks import asked
from itemwire.engines.networked import Routine
from itemwire.engines.redis.claims import CLAIM, CLAIM_SECONDS, OTHER_LIST, claim_of
from itemwire.engines.redis.client import Reply, Word
from itemwire.engines.redis.engine import RedisEngine
from itemwire.engines.redis.requests import RedisCall
from itemwire.engines.redis.target import RedisTarget


class RedisShard(RedisEngine):
    """Has the items of its slots, and a copy of each notice; lost and found by itself."""

    def __init__(self, target: RedisTarget, bounds: ChannelBounds) -> None:
        super().__init__(target, bounds)
        self.name: Final = target.name
        self.problem = ""  # why it is away, if that is no matter of its connections
        self._list = target.servers

    @property
    @override
    def is_available(self) -> bool:
        return self._is_ours and super().is_available

    @property
    def is_asked(self) -> bool:
        """Return whether it was started, and is asked whatever has become of it since."""
        return self._is_ours and bool(self._tasks)

    @property
    def run_id(self) -> str:
        """Return which process the server is."""
        return self._servers.run_id

    @override
    def _begin(self, sink: Sink) -> None:
        super()._begin(sink)
        self._is_ours = True  # each connection makes sure of it

    @override
    def _apply_of(self, sink: Sink) -> Apply:
        return sink.apply

    @override
    def _routines(self) -> Iterable[Routine]:
        return [*super()._routines(), (CLAIM_SECONDS, self._claim)]

    async def _claim(self) -> None:
        name, words = self._target.claim_key, claim_of(self._list)

        def ask(answer: Callable[[Reply | EngineError], None]) -> None:
            self._servers.ask(name, RedisCall(answer, *words, script=CLAIM, keys=(name,)))

        told: Reply | EngineError = await asked(ask)
        if isinstance(told, EngineError):
            return  # the next connection claims it
        is_ours = told.decode() == self._list
        self.problem = "" if is_ours else OTHER_LIST
        self._is_ours = is_ours

    def ask_secret(
        self, command: str, answer: Callable[[Reply | EngineError], None], *words: Word
    ) -> None:
        """Ask for the secret that is kept here, or keep one."""
        self._ask_secret(command, answer, *words)
