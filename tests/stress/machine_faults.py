"""The faults of a stress run that are those of a server's machine: a full disk, a wrong clock."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Final

from websockets.asyncio.client import ClientConnection

from tests.stress.clients import ITEM, JOIN_SECONDS, PUBLISH_SECONDS, Unsound, promptly
from tests.stress.faults import FAULTS, Fault, clients_of_all, stay_green
from tests.stress.machines import MachineServer
from tests.stress.nodes import Stage

STEP_SECONDS: Final = 3600.0
STEPPED_SECONDS: Final = 3.0  # for which the clock is wrong: longer than any heartbeat
MESSAGE_BYTES: Final = 16_000  # random, so that a server cannot make less of them
REFUSALS: Final = 3  # of which one says why: on a busy machine another may just be late
MESSAGES: Final = 200  # for which there may be room in what the server has set aside


async def fill_disk(stage: Stage) -> None:
    """Take all space of the disk beneath the engine, and give it back."""
    machine = _machine_of(stage)
    async with clients_of_all(stage, "filler") as fillers:
        with machine.disk.filled():
            for node, filler in zip(stage.nodes, fillers, strict=True):
                for _ in range(REFUSALS):
                    await _publish_until_refused(filler)
                    if await stage.degraded(node) == machine.when_full:
                        break
            await stage.until_degraded(stage.nodes, machine.when_full)
            await _join(stage)
    if not machine.heals:
        await _start_again(stage, machine)
    await stage.until_degraded(stage.nodes, "")
    await stay_green(stage, stage.nodes)


async def let_full_disk_end_it(stage: Stage) -> None:
    """Take all space of the disk where the server crashes for want of it; start it with room.

    PostgreSQL tries to recover first. Where that makes room in its log, it serves again.
    """
    machine = _machine_of(stage)
    with machine.disk.filled():
        await asyncio.to_thread(machine.end_when_full)
        await stage.until_red(stage.nodes)
        await asyncio.to_thread(machine.wait_until_recovered)
    await _start_again(stage, machine)
    await stage.until_degraded(stage.nodes, "")


async def _start_again(stage: Stage, machine: MachineServer) -> None:
    await asyncio.to_thread(machine.process.kill)
    stage.wipes += not machine.is_durable
    await asyncio.to_thread(machine.process.start)
    await stage.until_green(stage.nodes)


async def step_clock(stage: Stage) -> None:
    """Let the clock of the engine's server jump by an hour and, later, back to where it was.

    What the new time has ended is forgotten, with each of the jumps.
    """
    machine = _machine_of(stage)
    for ahead in (stage.randomness.choice([-STEP_SECONDS, STEP_SECONDS]), 0.0):
        stage.wipes += 1
        await asyncio.to_thread(machine.move_clock, ahead)
        await asyncio.sleep(stage.randomness.uniform(0.5, 1) * STEPPED_SECONDS)
        await stay_green(stage, stage.nodes)


ON_DISK: Final[dict[str, Fault]] = {"disk-full": fill_disk}
ON_SERVER: Final[dict[str, Fault]] = {
    **ON_DISK,
    "ended-by-full-disk": let_full_disk_end_it,
    "clock-stepped": step_clock,
}
NEED_DISK: Final = tuple(name for name in ON_SERVER if name != "clock-stepped")
KEPT: Final = {name: FAULTS[name] for name in ("node-killed", "engine-killed", "engine-restarted")}
MACHINE_FAULTS: Final[dict[str, dict[str, Fault]]] = {
    "nats+machine": KEPT | ON_DISK,
    "postgresql+machine": KEPT | ON_SERVER,
    "redis+machine": KEPT | ON_SERVER,
    "sqlite+machine": {"node-killed": FAULTS["node-killed"]} | ON_DISK,
}
"""The faults of each server with a disk and a clock of its own.

None moves the clock of nats-server: nothing comes between a static program and its clock.
"""


def _machine_of(stage: Stage) -> MachineServer:
    assert isinstance(stage.server, MachineServer)
    return stage.server


async def _publish_until_refused(socket: ClientConnection) -> None:
    """Publish until the node says no, in time, and that asking again helps."""
    for count in range(MESSAGES):
        data = os.urandom(MESSAGE_BYTES).hex()
        await socket.send(json.dumps({"type": "publish", "ref": count, "data": data}))
        told = {"ref": None}
        while told.get("ref") != count:
            told = json.loads(await promptly(socket.recv(), PUBLISH_SECONDS, "a filler"))
        if told["type"] == "error":
            if (told["code"], told["temporary"]) != ("overloaded", True):
                raise Unsound(f"a filler was told {told}")
            return
    raise Unsound(f"{MESSAGES} messages were stored on a full disk")


async def _join(stage: Stage) -> None:
    """See that each node lets clients join an item that is there, and a new one."""
    for item_id in (ITEM, f"new{len(stage.done)}"):
        for number in range(len(stage.nodes)):
            async with stage.addresses.socket("joiner", number, item_id=item_id) as socket:
                told = json.loads(await promptly(socket.recv(), JOIN_SECONDS, "a joiner"))
                if told["type"] != "welcome":
                    log = stage.nodes[number].log
                    said = f"a node that is degraded told a joiner of {item_id} {told}"
                    raise Unsound(f"{said}\n{log}")
