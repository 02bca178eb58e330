"""What every engine promises of the secret that its store keeps, as tests."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from itemwire.engines.base import SECRET_BYTES, Bounds, Engine, Sink
from tests.conformance.asked_engine import BOUNDS, answer_of

Secrets = list[bytes]


@contextlib.asynccontextmanager
async def started(engine: Engine) -> AsyncIterator[Engine]:
    """Keep an engine started."""
    await engine.start(Sink())
    try:
        yield engine
    finally:
        await engine.stop()


class SecretContract(ABC):
    """The promises of `secret` of `itemwire.engines.base.Engine`."""

    @abstractmethod
    def open_engine(self, bounds: Bounds) -> Engine:
        """Make the engine under test."""
        ...

    def test_answers_one_secret_however_often_and_at_once_it_is_asked(self) -> None:
        """All of a node's callers get the same 32 bytes."""

        async def scene() -> Secrets:
            async with started(self.open_engine(BOUNDS)) as engine:
                return await asyncio.gather(*(answer_of(engine.secret) for _ in range(20)))

        secrets = asyncio.run(scene())

        assert len(set(secrets)) == 1
        assert len(secrets[0]) == SECRET_BYTES


class SharedSecretContract(ABC):
    """The promises of `secret` where the store outlives an engine, or several engines share it."""

    @abstractmethod
    def open_engine(self, bounds: Bounds) -> Engine:
        """Make an engine on the store of this test."""
        ...

    def test_the_next_engine_on_the_store_has_the_same_secret(self) -> None:
        """What one server has signed, the next one finds valid (requirement 130)."""

        async def scene() -> Secrets:
            secrets = []
            for _ in range(2):
                async with started(self.open_engine(BOUNDS)) as engine:
                    secrets.append(await answer_of(engine.secret))
            return secrets

        assert len(set(asyncio.run(scene()))) == 1


class NodesSecretContract(ABC):
    """The promises of `secret` where several nodes share a store."""

    @abstractmethod
    def open_engine(self, bounds: Bounds) -> Engine:
        """Make an engine on the store of this test."""
        ...

    def test_nodes_that_ask_at_once_get_the_same_secret(self) -> None:
        """Whichever is the first, its secret is that of the store."""

        async def scene() -> Secrets:
            async with contextlib.AsyncExitStack() as stack:
                engines = [
                    await stack.enter_async_context(started(self.open_engine(BOUNDS)))
                    for _ in range(3)
                ]
                return await asyncio.gather(*(answer_of(one.secret) for one in engines))

        assert len(set(asyncio.run(scene()))) == 1
