"""Engines whose disk is full: a small one of their own, and a file that takes what is left.

What a full disk does to a server is not always what the server says of it: one refuses a PING, one
never answers again. What nodes make of it is the same on every engine.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Final

import pytest

from itemwire.counters import OPERATIONS, OperationCounters
from itemwire.engines import open_engine, write_watch
from itemwire.engines.base import ANSWER_SECONDS, EngineError, Span
from itemwire.engines.faults import SILENT, Readiness
from itemwire.engines.metered import MeteredEngine
from itemwire.engines.nats import publishing as nats_publishing
from itemwire.engines.nats.requests import REQUEST_SECONDS
from itemwire.messages import Position
from tests.engines.watched import BOUNDS, Watched, play
from tests.small_disk import require_mount
from tests.stress.machines import MACHINES, MachineServer
from tests.timing import BUSY_SECONDS

LARGEST: Final = 16_000  # random bytes, of which no server can make less
MESSAGES: Final = 200  # for which there may be room in what the server has set aside


def node_of(machine: MachineServer) -> Watched:
    """Make a node as it is in an application: it watches what is refused."""
    counters = {operation: OperationCounters() for operation in OPERATIONS}
    return Watched(MeteredEngine(open_engine(machine.process.url, BOUNDS), counters))


async def publish_until_refused(watched: Watched) -> tuple[list[Position], EngineError]:
    """Publish until there is no room; give what was stored, and why the last one was not."""
    stored: list[Position] = []
    while len(stored) < MESSAGES:
        try:
            stored.append(await watched.publish(os.urandom(LARGEST // 2).hex()))
        except EngineError as error:
            return stored, error
    raise AssertionError("a full disk takes everything")


async def see_that_it_is_read(machine: MachineServer, last: int) -> None:
    """Read and join as a node does that starts meanwhile, at least; a channel that is new too."""
    async with node_of(machine).running() as late:
        assert (await late.read(Span(1))).position.offset == last
        for channel in ("item:new", "item:newer"):
            begun = time.monotonic()
            await late.subscribe(channel)
            assert (await late.read(channel=channel)).position.offset == 0
            assert time.monotonic() - begun < ANSWER_SECONDS + BUSY_SECONDS


@pytest.mark.server
@pytest.mark.parametrize("name", MACHINES)
def test_a_full_disk_costs_publishes_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All engines alike, and nothing that was acknowledged is lost (requirements 134, 144)."""
    require_mount()
    monkeypatch.setattr(write_watch, "PROBE_SECONDS", 0.05)

    async def scene(machine: MachineServer) -> None:
        async with node_of(machine).running() as one:
            first = await one.publish("before")
            with machine.disk.filled():
                stored, refusal = await publish_until_refused(one)
                last = stored[-1].offset if stored else first.offset

                assert refusal.fault.name == machine.when_full
                assert refusal.fault.readiness is Readiness.DEGRADED
                assert one.engine.fault is refusal.fault
                assert one.engine.is_available
                assert (await one.read(Span(1))).position.offset == last
                if machine.process.port:  # else the file is this node's alone
                    await see_that_it_is_read(machine, last)
            if not machine.heals:
                machine.process.kill()
                machine.process.start()
            await one.until(lambda: one.engine.is_available and one.engine.fault is None)
            after = await one.publish_at_last("after")
            await one.until(lambda: one.texts[-1] == "after")

            assert one.losses == []
            assert after.epoch == first.epoch
            assert [each.offset for each in one.log] == list(range(1, after.offset + 1))

    with MACHINES[name](tmp_path) as machine:
        play(lambda: scene(machine))

    told = [line for line in caplog.messages if line.startswith("engine_degraded")]
    assert told[0].startswith(f"engine_degraded fault={machine.when_full} retry=later problem=")
    assert caplog.messages[-1:] != told
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


@pytest.mark.server
def test_a_single_publish_that_waited_too_long_says_what_the_stream_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who publishes once and no more must not leave the node good that stores nothing (144)."""
    require_mount()
    # As if it had waited for its turn and its key: it is refused before its request is.
    monkeypatch.setattr(nats_publishing, "WAIT_SECONDS", REQUEST_SECONDS - 0.3)

    async def scene(machine: MachineServer) -> None:
        async with node_of(machine).running() as one:
            await one.publish("before")
            with machine.disk.filled():
                _, refusal = await publish_until_refused(one)
                assert refusal.fault is SILENT
                assert one.engine.fault is SILENT

    with MACHINES["nats+machine"](tmp_path) as machine:
        play(lambda: scene(machine))
