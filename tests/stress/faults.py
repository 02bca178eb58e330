"""The faults of a stress run, of nodes and of their engine: one row each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.proxy import Proxy
from tests.stress.clients import JOIN_SECONDS, PUBLISH_SECONDS, Unsound, promptly
from tests.stress.engines import EngineServer
from tests.stress.nodes import ServedNode, Stage

DELAY_SECONDS: Final = 0.1
SLOW_SECONDS: Final = 1.0
CUTS: Final = 4

FLOODERS: Final = 4  # on each node
FLOOD_MESSAGES: Final = 500  # of each flooder
FLOOD_BYTES: Final = 32_000  # of each message
MAX_GROWTH: Final = 40 << 20  # of a node that is flooded: with less than is sent to it

Fault = Callable[[Stage], Awaitable[None]]


async def kill_engine(stage: Stage) -> None:
    """End the engine as a crash does, and start it again with what it has on disk."""
    server = server_of(stage)
    await asyncio.to_thread(server.process.kill)
    stage.wipes += not server.is_durable
    await stage.until_red(stage.nodes)
    await asyncio.to_thread(server.process.start)
    await stage.until_green(stage.nodes)


async def restart_engine(stage: Stage) -> None:
    """End the engine in order and start it again: it tells each connection that it is over."""
    server = server_of(stage)
    await asyncio.to_thread(server.process.stop)
    stage.wipes += not server.is_durable
    await stage.until_red(stage.nodes)
    await asyncio.to_thread(server.process.start)
    await stage.until_green(stage.nodes)


async def terminate_connections(stage: Stage) -> None:
    """Have the engine end the connections of all nodes, and serve on."""
    terminate = server_of(stage).terminate
    if terminate is not None:
        await asyncio.to_thread(terminate)
    await stage.until_green(stage.nodes)


async def lose_close(stage: Stage) -> None:
    """Let the engine end the connections of all nodes, and no node hear of the end."""
    with ExitStack() as losing:
        for node in stage.nodes:
            losing.enter_context(_proxy_of(node).losing_ends())
        terminate = server_of(stage).terminate
        if terminate is not None:
            await asyncio.to_thread(terminate)
        else:
            await _let_die(stage, Proxy.lose_ends)
        await stage.until_remade(stage.nodes)


async def restart_unheard(stage: Stage) -> None:
    """Restart the engine, and let no node hear of the end of its connections."""
    with ExitStack() as losing:
        for node in stage.nodes:
            losing.enter_context(_proxy_of(node).losing_ends())
        await restart_engine(stage)
        await stage.until_remade(stage.nodes)


async def stand_still(stage: Stage) -> None:
    """Let the connections of all nodes pass nothing any more; new ones are served."""
    await _let_die(stage, Proxy.freeze)
    await stage.until_remade(stage.nodes)


async def halve_answers(stage: Stage) -> None:
    """Let each connection stand still in the middle of an answer."""
    await _let_die(stage, Proxy.halve)
    await stage.until_remade(stage.nodes)


async def empty_engine(stage: Stage) -> None:
    """Take everything out of the engine while it serves."""
    await asyncio.to_thread(server_of(stage).empty)
    stage.wipes += 1
    await stage.until_green(stage.nodes)  # there may have been nothing to read for a moment


async def pause_engine(stage: Stage) -> None:
    """Let the engine stand still while more is published than a node has room for."""
    async with clients_of_all(stage, "flooder", FLOODERS) as flooders:
        before = [node.memory("VmRSS") for node in stage.nodes]
        with server_of(stage).process.paused():
            async with asyncio.TaskGroup() as flooding:
                for socket in flooders:
                    flooding.create_task(_flood(socket))
                await stage.until_red(stage.nodes)
    await stage.until_green(stage.nodes)
    _check_growth(stage, before)


async def cut_one_off(stage: Stage) -> None:
    """Part one node from the engine; the others serve on."""
    node = stage.randomness.choice(stage.nodes)
    others = [one for one in stage.nodes if one is not node]
    with _parted(stage, node):
        await stage.until_red([node])
        await stay_green(stage, others)
    await stage.until_green([node])


async def cut_all_off(stage: Stage) -> None:
    """Part all nodes from the engine."""
    with ExitStack() as parted:
        for node in stage.nodes:
            parted.enter_context(_parted(stage, node))
        await stage.until_red(stage.nodes)
    await stage.until_green(stage.nodes)


async def break_connections(stage: Stage) -> None:
    """Break the connections to the engine in mid-stream, again and again."""
    for _ in range(CUTS):
        _proxy_of(stage.randomness.choice(stage.nodes)).cut()
        await asyncio.sleep(stage.randomness.uniform(0.02, 0.2))
    await stage.until_green(stage.nodes)


async def slow_down(stage: Stage) -> None:
    """Let everything between nodes and engine take its time: nobody counts it as away."""
    with ExitStack() as delayed:
        for node in stage.nodes:
            delayed.enter_context(_proxy_of(node).delayed(DELAY_SECONDS))
        await asyncio.sleep(SLOW_SECONDS)
        await stay_green(stage, stage.nodes)


async def kill_node(stage: Stage) -> None:
    """End a node as a crash does; its clients go on at the others, until it is back."""
    node = stage.randomness.choice(stage.nodes)
    await stage.kill(node)
    await stage.start(node)
    await stage.until_green([node])


FAULTS: Final[dict[str, Fault]] = {
    "engine-killed": kill_engine,
    "engine-restarted": restart_engine,
    "terminated": terminate_connections,
    "engine-emptied": empty_engine,
    "engine-paused": pause_engine,
    "cut-one": cut_one_off,
    "cut-all": cut_all_off,
    "broken": break_connections,
    "slow": slow_down,
    "lost-close": lose_close,
    "restarted-unheard": restart_unheard,
    "standstill": stand_still,
    "half-answer": halve_answers,
    "node-killed": kill_node,
}
ALWAYS: Final = ("node-killed",)
"""Faults that need no server of the run's own between its nodes."""
DIRECT: Final = (
    *ALWAYS,
    "engine-killed",
    "engine-restarted",
    "terminated",
    "engine-emptied",
    "engine-paused",
)
"""Faults that need no proxy between the nodes and their engine."""


def server_of(stage: Stage) -> EngineServer:
    """Give the server that the run has started between its nodes."""
    assert stage.server is not None
    return stage.server


def _proxy_of(node: ServedNode) -> Proxy:
    assert node.proxy is not None
    return node.proxy


async def _let_die(stage: Stage, die: Callable[[Proxy], None]) -> None:
    for node in stage.nodes:
        await asyncio.to_thread(die, _proxy_of(node))


def _parted(stage: Stage, node: ServedNode) -> AbstractContextManager[None]:
    """Break a node's connections to the engine and let none through, or pull the cable."""
    proxy = _proxy_of(node)
    return stage.randomness.choice([proxy.away, proxy.silent])()


async def stay_green(stage: Stage, nodes: Sequence[ServedNode]) -> None:
    """See that nodes are ready, as they were all the time."""
    for node in nodes:
        if not await stage.is_ready(node):
            raise Unsound(f"{stage.done[-1]}: a node is not ready that was not meant")


@asynccontextmanager
async def clients_of_all(
    stage: Stage, kind: str, each: int = 1
) -> AsyncIterator[list[ClientConnection]]:
    """Connect so many clients to each node, every one to an item of its own."""
    async with AsyncExitStack() as stack:
        sockets = []
        for number in range(each * len(stage.nodes)):
            name = f"{kind}{number}"
            client = stage.addresses.socket(name, number, item_id=name)
            sockets.append(await stack.enter_async_context(client))
            told = json.loads(await promptly(sockets[-1].recv(), JOIN_SECONDS, name))
            if told["type"] != "welcome":
                log = stage.nodes[number % len(stage.nodes)].log
                raise Unsound(f"a node that is ready told {name} {told}\n{log}")
        yield sockets


async def _flood(socket: ClientConnection) -> None:
    """Publish without waiting for answers, then see that each has come."""
    message = json.dumps({"type": "publish", "ref": 1, "data": "x" * FLOOD_BYTES})
    begun = time.monotonic()
    try:
        for _ in range(FLOOD_MESSAGES):
            await socket.send(message)
        missing = FLOOD_MESSAGES
        while missing:
            told = json.loads(await promptly(socket.recv(), PUBLISH_SECONDS, "a flooder"))
            missing -= told.get("ref") == 1
    except ConnectionClosed as closed:
        took = time.monotonic() - begun
        raise Unsound(f"a flooder was ended after {took:.1f} s: {closed}") from None


def _check_growth(stage: Stage, before: list[int]) -> None:
    """See that no node took as much memory as was sent to it."""
    growth = [node.memory("VmHWM") - was for node, was in zip(stage.nodes, before, strict=True)]
    stage.growth = max(stage.growth, *growth)
    if stage.growth > MAX_GROWTH:
        raise Unsound(f"a node took {stage.growth >> 20} MiB more while its engine was away")
