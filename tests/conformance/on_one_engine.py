"""What contracts have in common that are played on one engine, heard on a channel of its own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import TypeVar

from itemwire.engines.base import ChannelBounds, Engine
from tests.conformance.asked_engine import BOUNDS, Asked

T = TypeVar("T")


class OnOneEngine(ABC):
    """Plays scenes on the engine under test, each on one that is started for it."""

    @abstractmethod
    def open_engine(self, bounds: ChannelBounds) -> Engine:
        """Make the engine under test."""
        ...

    def on(
        self,
        scene: Callable[[Asked], Coroutine[object, object, T]],
        bounds: ChannelBounds = BOUNDS,
    ) -> T:
        """Play a scene on a started engine."""

        async def play() -> T:
            async with Asked(self.open_engine(bounds)).running() as asked:
                return await scene(asked)

        return asyncio.run(play())
