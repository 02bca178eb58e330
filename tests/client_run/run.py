"""One run: a server behind a proxy, processes of clients, and one break after the other."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.client_run.outcome import Break, ClientOutcome
from tests.client_run.processes import COMMANDS, ClientProcess, Crowd, clients_of
from tests.proxy import Proxy
from tests.stress.clients import Unsound
from tests.stress.nodes import ServedNode

BACK_SECONDS: Final = 90.0  # for all to be back after a break: attempts are up to 30 s apart


@dataclass(slots=True)
class ClientStage:
    """What breaks are played on."""

    node: ServedNode
    proxy: Proxy
    processes: list[ClientProcess] = field(default_factory=list[ClientProcess])

    async def kill(self) -> None:
        """End the server as a crash does, and start it again."""
        await asyncio.to_thread(self.node.kill)
        await self._start()

    async def drain(self) -> None:
        """End it in order, and start it again."""
        await asyncio.to_thread(self.node.stop)
        await self._start()

    async def cut(self) -> None:
        """Break every connection, as a network does; the server stays."""
        await asyncio.to_thread(self.proxy.cut)

    async def _start(self) -> None:
        await asyncio.to_thread(self.node.start)
        self.proxy.target = urlsplit(self.node.url).port or 0

    async def until_all_are_back(self, since: float = 0.0) -> None:
        """Wait until every client follows its item; a break is noticed a moment after it."""
        until = time.monotonic() + BACK_SECONDS
        while time.time() - since < 1 or any(one.away for one in self.processes):
            for one in self.processes:
                one.check()
            if time.monotonic() > until:
                told = [(one.away[:9], one.errors) for one in self.processes]
                raise Unsound(f"not all are back after {BACK_SECONDS:g} s: {told}")
            await asyncio.sleep(0.05)


async def run(folder: Path, crowd: Crowd, *, seconds: float, rounds: int = 0) -> ClientOutcome:
    """Run them for so long, or for so many breaks."""
    async with staged(folder, crowd) as stage:
        await stage.until_all_are_back()
        breaks = [one async for one in _breaks(stage, seconds, rounds)]
        told = await asyncio.gather(*(one.ask("acknowledged", "quiet") for one in stage.processes))
        acknowledged = [tuple(one) for each in told for one in each["acknowledged"]]
        ends = ends_of(acknowledged)
        last = await asyncio.gather(*(one.ask("logs", ends) for one in stage.processes))
    return ClientOutcome.of(acknowledged, breaks, last)


async def _breaks(stage: ClientStage, seconds: float, rounds: int) -> AsyncIterator[Break]:
    """Make one break after the other, each when all clients are back from the last one."""
    begun = time.monotonic()
    kinds = itertools.cycle([stage.kill, stage.cut, stage.drain, stage.cut])
    for number, make_break in enumerate(kinds):
        if number >= rounds if rounds else time.monotonic() - begun > seconds:
            return
        now = time.time()
        await make_break()
        await stage.until_all_are_back(now)
        yield Break(make_break.__name__, now, time.time())


def ends_of(acknowledged: list[tuple[str, str, str]]) -> dict[str, str]:
    """Return where each item ends; its epoch outlives every break, as the store does."""
    ends: dict[str, str] = {}
    for item, position, _ in acknowledged:
        offset = int(position.rpartition(":")[2])
        if offset > int(ends.get(item, ":0").rpartition(":")[2]):
            ends[item] = position
    return ends


@asynccontextmanager
async def staged(folder: Path, crowd: Crowd) -> AsyncIterator[ClientStage]:
    """Start the server, the proxy before it, and all clients."""
    node = ServedNode(folder, f"sqlite:///{folder}/clients.db")
    async with AsyncExitStack() as stack:
        stack.callback(node.stop)
        await asyncio.to_thread(node.start)
        proxy = stack.enter_context(Proxy(urlsplit(node.url).port or 0).running())
        stage = ClientStage(node, proxy)
        for language in COMMANDS:
            for some in crowd.parts_of(language):
                url = f"http://127.0.0.1:{proxy.port}"
                starting = clients_of(language, url, some, crowd)
                stage.processes.append(await stack.enter_async_context(starting))
        yield stage
