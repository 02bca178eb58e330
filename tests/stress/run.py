"""One run: nodes, clients of all of them, and one fault after the other."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from tests.stress.clients import Addresses, Position, Publisher, Unsound, Watcher, stay_stuck
from tests.stress.failover import faults_of
from tests.stress.nodes import ServedNode, Stage
from tests.stress.replicas import SERVERS
from tests.stress.soundness import Outcome

STEADFAST: Final = 2  # watchers
BREAKING: Final = 4
PUBLISHERS: Final = 4
STUCK: Final = 4
SETTLE_SECONDS: Final = 30.0  # for all to have everything, once nothing more comes


async def run(
    engine: str,
    folder: Path,
    plan: Iterable[str],
    *,
    nodes: int = 1,
    calm: float = 1.0,
    pace: float = 0.0,
    seed: int = 1,
    is_direct: bool = False,
) -> Outcome:
    """Run it on an engine: a URL, or the name of a server that is started for it.

    The plan names faults. Before each, and after the last, all goes well for `calm` seconds. A
    publisher waits for `pace` seconds after each answer. With `is_direct` there is no proxy between
    the nodes and their engine.
    """
    faults = faults_of(engine, is_direct=is_direct)
    staged = _staged(engine, folder, nodes, seed, is_direct=is_direct)
    async with staged as stage, asyncio.TaskGroup() as tasks:
        at, randomness = stage.addresses, stage.randomness
        watchers = [
            Watcher(f"watcher{number}", at, randomness, number, is_steadfast=number < STEADFAST)
            for number in range(STEADFAST + BREAKING)
        ]
        publishers = [
            Publisher(f"publisher{number}", at, number, pace) for number in range(PUBLISHERS)
        ]
        watching = [tasks.create_task(one.watch()) for one in watchers]
        watching += [tasks.create_task(stay_stuck(at, f"stuck{n}", n)) for n in range(STUCK)]
        await _until("somebody waits", lambda: all(one.position is not None for one in watchers))
        publishing = [tasks.create_task(one.publish()) for one in publishers]
        for name in plan:
            await asyncio.sleep(calm)
            stage.done.append(name)
            await faults[name](stage)
            _check_losses(stage, watchers)
        await asyncio.sleep(calm)
        for publisher in publishers:
            publisher.is_over = True
        await asyncio.wait(publishing)
        await _settle(stage, watchers)
        for task in watching:
            task.cancel()
    return Outcome(watchers, publishers, stage.wipes, stage.kills, stage.growth, stage.slowest)


def _check_losses(stage: Stage, watchers: list[Watcher]) -> None:
    """See that nobody was told of more losses than there were, while the logs show why."""
    for watcher in watchers:
        if len(watcher.losses) > stage.wipes:
            logs = "".join(node.log for node in stage.nodes)
            told = f"{watcher.name} was told of {watcher.losses}, for {stage.wipes} wipes"
            raise Unsound(f"{stage.done[-1]}: {told}\n{logs}")


@asynccontextmanager
async def _staged(
    engine: str, folder: Path, nodes: int, seed: int, *, is_direct: bool
) -> AsyncIterator[Stage]:
    """Start the engine's server, if it has a row, and the nodes."""
    async with AsyncExitStack() as stack:
        row = SERVERS.get(engine)
        server = await asyncio.to_thread(stack.enter_context, row(folder)) if row else None
        served = []
        for _ in range(nodes):
            proxy, url = None, server.process.url if server else engine
            if server is not None and server.is_proxied and not is_direct:
                proxy = stack.enter_context(server.proxy().running())
                url = server.url_by(proxy)
            served.append(ServedNode(folder, url, proxy))
        # Each question on a connection of its own: a server may close one that was idle.
        limits = httpx.Limits(max_keepalive_connections=0)
        http = httpx.AsyncClient(timeout=5, trust_env=False, limits=limits)
        stage = Stage(
            served,
            Addresses([""] * nodes),
            server,
            random.Random(seed),  # noqa: S311 - to be repeated
            await stack.enter_async_context(http),
            forgets_with_node=engine.startswith("memory:"),
        )
        try:
            await asyncio.gather(*map(stage.start, served))
            yield stage
        finally:
            await asyncio.gather(*(asyncio.to_thread(node.stop) for node in served))


async def _settle(stage: Stage, watchers: list[Watcher]) -> None:
    """Wait until every watcher is where the item stands, and all nodes agree on who is there."""
    for watcher in watchers:
        watcher.is_steadfast = True
    end = await _position_of_item(stage)
    try:
        await _until("not all was heard", lambda: _are_at(end, watchers))
    except Unsound as unsound:
        heard = {one.name: one.position for one in watchers}
        logs = [node.log for node in stage.nodes]
        raise Unsound(f"{unsound}: {heard}, and the item is at {end}\n{''.join(logs)}") from None
    there: Counter[str] = Counter(one.name for one in watchers)
    seen: list[Counter[str]] = []
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while seen != [there] * len(stage.nodes):
                await asyncio.sleep(0.1)
                subjects = [await stage.subjects(node) for node in stage.nodes]
                seen = [Counter(one for one in each if one in there) for each in subjects]
    except TimeoutError:
        raise Unsound(f"there should be {there}, there are {seen}") from None


def _are_at(end: Position, watchers: list[Watcher]) -> bool:
    """Tell whether all are where the item stood, or are at one place beyond it.

    A publish that got no answer may have been stored after that was asked.
    """
    places = {one.position for one in watchers}
    epoch, offset = next(iter(places)) or ("", 0)
    return len(places) == 1 and epoch == end[0] and offset >= end[1]


async def _position_of_item(stage: Stage) -> Position:
    """Learn where the item stands; a server that has just come back may have to catch up."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            async with stage.addresses.socket("last", 0) as socket:
                told = json.loads(await socket.recv())
            if told["type"] == "welcome":
                return told["epoch"], told["offset"]
            if told["reason"] != "overloaded":
                raise Unsound(f"the last one was refused with {told}")
            await asyncio.sleep(0.1)


async def _until(problem: str, holds: Callable[[], bool]) -> None:
    """Look again and again, for a bounded time: several processes take part in it."""
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while not holds():  # noqa: ASYNC110 - there is no one event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Unsound(f"{problem}, after {SETTLE_SECONDS:g} s") from None
