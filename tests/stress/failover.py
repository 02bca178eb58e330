"""The faults of a stress run that need more than one server, or an older copy of what one has."""

from __future__ import annotations

import asyncio
from typing import Final

from itemwire.engines.faults import PART_AWAY
from tests.redis_server import RedisServer
from tests.small_disk import can_mount
from tests.stress.engines import ENGINE_SERVERS
from tests.stress.faults import ALWAYS, DIRECT, FAULTS, Fault, server_of, stay_green
from tests.stress.machine_faults import MACHINE_FAULTS, NEED_DISK
from tests.stress.nodes import Stage
from tests.stress.replicas import ClusterServer, PairServer, ShardsServer

LAG_SECONDS: Final = 0.3  # for which the old primary goes on, and nothing of it is replicated
ELECTION_SECONDS: Final = 25.0  # nats-server waits 4 to 9 s for a leader, and a vote may be split
COPY_SECONDS: Final = 3.0  # from a copy to its return: longer than nodes are silent


async def let_replica_take_over(stage: Stage) -> None:
    """Promote the replica, lose what only the primary has, and lead the nodes to the new one."""
    pair = _pair_of(stage).pair
    await asyncio.to_thread(pair.promote)
    await asyncio.sleep(stage.randomness.uniform(0, LAG_SECONDS))
    await asyncio.to_thread(pair.replica.kill)
    stage.wipes += 1
    if stage.randomness.random() < 0.5:
        await stage.until_red(stage.nodes)
    _lead_to(stage, pair.port)
    await stage.until_green(stage.nodes)
    await asyncio.to_thread(pair.rejoin)


async def swap_roles(stage: Stage) -> None:
    """Let primary and replica swap their roles, while every process and connection stays.

    The old primary takes nothing any more before the nodes are led to the new one: of two primaries
    at once, those who go from node to node would be told each time.
    """
    pair = _pair_of(stage).pair
    await asyncio.to_thread(pair.promote)
    await asyncio.sleep(stage.randomness.uniform(0, LAG_SECONDS))
    stage.wipes += 1
    await asyncio.to_thread(pair.rejoin)
    await stage.until_red(stage.nodes)
    _lead_to(stage, pair.port)
    await stage.until_green(stage.nodes)


async def kill_leader(stage: Stage) -> None:
    """End the server of a cluster that leads, and start it again later."""
    cluster = stage.server
    assert isinstance(cluster, ClusterServer)
    leader = await asyncio.to_thread(cluster.leader)
    await asyncio.to_thread(leader.kill)
    await asyncio.sleep(stage.randomness.uniform(0, 2))
    await stage.until_green(stage.nodes, ELECTION_SECONDS)
    await asyncio.to_thread(leader.start)
    await asyncio.to_thread(cluster.wait_until_whole)  # two of three decide: one at a time may end
    await stage.until_green(stage.nodes)


async def kill_shard(stage: Stage) -> None:
    """End one of the servers that items are divided between, and start it again later."""
    shard = _shard_of(stage)
    await asyncio.to_thread(shard.kill)
    stage.wipes += 1  # if it has the item
    await stage.until_degraded(stage.nodes, PART_AWAY.name)
    await asyncio.sleep(stage.randomness.uniform(0, 2))
    await stay_green(stage, stage.nodes)
    await asyncio.to_thread(shard.start)
    await stage.until_degraded(stage.nodes, "")


async def pause_shard(stage: Stage) -> None:
    """Let one of them stand still."""
    with _shard_of(stage).paused():
        await stage.until_degraded(stage.nodes, PART_AWAY.name)
        await stay_green(stage, stage.nodes)
    await stage.until_degraded(stage.nodes, "")


async def put_copy_back(stage: Stage) -> None:
    """Put an older copy of what the server has in its place."""
    server = server_of(stage)
    await asyncio.to_thread(server.copy)
    await stage.until_green(stage.nodes)
    await asyncio.sleep(COPY_SECONDS)
    await asyncio.to_thread(server.put_back)
    stage.wipes += 1
    await stage.until_green(stage.nodes)


COPIED: Final[dict[str, Fault]] = FAULTS | {"older-copy": put_copy_back}
REPLACED: Final[dict[str, Fault]] = {
    name: fault for name, fault in FAULTS.items() if name != "engine-emptied"
} | {"replica-promoted": let_replica_take_over}
FAULTS_OF: Final[dict[str, dict[str, Fault]]] = dict.fromkeys(ENGINE_SERVERS, COPIED) | {
    "nats+cluster": {name: FAULTS[name] for name in ALWAYS} | {"leader-killed": kill_leader},
    "postgresql+replica": REPLACED,
    "redis+replica": REPLACED | {"roles-swapped": swap_roles},
    "redis+unix": COPIED,
    "redis-shards": {name: FAULTS[name] for name in ("engine-killed", "engine-restarted", *ALWAYS)}
    | {"shard-killed": kill_shard, "shard-paused": pause_shard},
    **MACHINE_FAULTS,
}
"""The faults of each server that a run can start."""


def faults_of(engine: str, *, is_direct: bool = False) -> dict[str, Fault]:
    """Give the faults that are possible on an engine: a URL, or the name of a server.

    With `is_direct` there is no proxy between the nodes and their engine.
    """
    if is_direct and engine in ENGINE_SERVERS:
        return {name: FAULTS[name] for name in DIRECT}
    faults = FAULTS_OF.get(engine) or {name: FAULTS[name] for name in ALWAYS}
    if engine in MACHINE_FAULTS and not can_mount():
        faults = {name: fault for name, fault in faults.items() if name not in NEED_DISK}
    return faults


def _shard_of(stage: Stage) -> RedisServer:
    assert isinstance(stage.server, ShardsServer)
    return stage.randomness.choice(stage.server.servers)


def _pair_of(stage: Stage) -> PairServer:
    assert isinstance(stage.server, PairServer)
    return stage.server


def _lead_to(stage: Stage, port: int) -> None:
    for node in stage.nodes:
        assert node.proxy is not None
        node.proxy.target = port
