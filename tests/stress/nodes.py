"""The nodes of a run, each with a proxy between it and the engine: started, killed, looked at."""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from tests.proxy import Proxy
from tests.scenarios.clients import item_path, token
from tests.scenarios.processes import Started, started
from tests.stress.clients import BUSY_SECONDS, ITEM, Addresses, Unsound
from tests.stress.engines import EngineServer

RED_SECONDS: Final = 6.0  # two until the engine counts as silent, and what a busy machine adds
GREEN_SECONDS: Final = 10.0  # a new connection a second, and one that is tried takes up to three
DEGRADED_SECONDS: Final = 2 + BUSY_SECONDS  # two from the first refusal, or from its end
LAST_LINES: Final = 40
COUNTED_FAULT: Final = re.compile(r'^itemwire_degraded{fault="(\w+)"} 1\.0$', re.MULTILINE)
METRICS_TOKEN: Final = "the-metrics-token-of-a-stress-run"
SETTINGS: Final = {
    "metrics_token": METRICS_TOKEN,
    "history_size": "1000000",
    "history_bytes": "1000000000",
    "history_total_bytes": "0",
    "outbox_bytes": "1000000",
    "max_in_flight_bytes": "4000000",
    "bytes_rate": "0",
    "presence_grace": "0",
}


class ServedNode:
    """One `itemwire serve`; it may be killed and started again."""

    def __init__(self, folder: Path, engine_url: str, proxy: Proxy | None = None) -> None:
        self.proxy = proxy
        self._folder = folder
        self._engine_url = engine_url
        self._stack = ExitStack()
        self._run: Started | None = None

    @property
    def url(self) -> str:
        """Give its address; none while it is not there."""
        return self._run.server.url if self._run else ""

    @property
    def log(self) -> str:
        """Give the last lines that it has written about its engine."""
        lines = self._run.lines if self._run else []
        return "".join([line for line in lines if "itemwire.engines" in line][-LAST_LINES:])

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
        run = started(command, self._folder, engine_url=self._engine_url, **SETTINGS)
        self._run = self._stack.enter_context(run)

    def kill(self) -> None:
        """End it as a crash does."""
        run, self._run = self._run, None
        assert run is not None
        run.process.kill()
        run.process.wait()
        self._stack.close()

    def stop(self) -> None:
        """Let it drain, if it is there."""
        self._run = None
        self._stack.close()

    def memory(self, field: str) -> int:
        """Give the bytes it has in memory (VmRSS), or had at most (VmHWM)."""
        assert self._run is not None
        status = Path(f"/proc/{self._run.process.pid}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) * 1024


@dataclass(slots=True)
class Stage:
    """What faults are played on."""

    nodes: Sequence[ServedNode]
    addresses: Addresses
    server: EngineServer | None
    randomness: random.Random
    http: httpx.AsyncClient
    forgets_with_node: bool  # what was stored was in the node's memory
    wipes: int = 0
    kills: int = 0
    growth: int = 0
    done: list[str] = field(default_factory=list)
    slowest: dict[str, tuple[float, str]] = field(default_factory=dict)  # seconds, and the fault

    async def start(self, node: ServedNode) -> None:
        """Start a node, and let clients find it."""
        await asyncio.to_thread(node.start)
        self.addresses.urls[self.nodes.index(node)] = node.url

    async def kill(self, node: ServedNode) -> None:
        """Kill a node; clients find it no longer."""
        self.kills += 1
        self.wipes += self.forgets_with_node
        self.addresses.urls[self.nodes.index(node)] = ""
        await asyncio.to_thread(node.kill)

    async def is_ready(self, node: ServedNode) -> bool | None:
        """Ask as a load balancer does, and as Prometheus; None while they disagree."""
        is_ready = (await self.http.get(f"{node.url}/health/ready")).status_code == 200
        said = f"\nitemwire_ready {is_ready:.1f}\n"
        return is_ready if said in await self._metrics(node) else None

    async def _metrics(self, node: ServedNode) -> str:
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        return (await self.http.get(f"{node.url}/metrics", headers=headers)).text

    async def degraded(self, node: ServedNode) -> str | None:
        """Give why a node takes nothing; "" if it does, None while it and its metrics disagree."""
        answer = await self.http.get(f"{node.url}/health/ready")
        told = answer.json().get("reason", "")
        counted = "".join(COUNTED_FAULT.findall(await self._metrics(node)))
        return told if answer.status_code == 200 and told == counted else None

    async def until_degraded(self, nodes: Sequence[ServedNode], reason: str) -> None:
        """Wait until they say why they take nothing, or with "" that they do."""
        begun = time.monotonic()
        for node in nodes:
            while (said := await self.degraded(node)) != reason:
                if time.monotonic() - begun > DEGRADED_SECONDS:
                    state = f"degraded={said!r}, not {reason!r}, after {DEGRADED_SECONDS:g} s"
                    raise Unsound(f"{self.done[-1]}: {state}\n{node.log}")
                await asyncio.sleep(0.05)
        self._note_time("degraded" if reason else "good", begun)

    async def until_red(self, nodes: Sequence[ServedNode]) -> None:
        """Wait until they say that their engine is away."""
        await self._until(nodes, RED_SECONDS, is_ready=False)

    async def until_green(
        self, nodes: Sequence[ServedNode], seconds: float = GREEN_SECONDS
    ) -> None:
        """Wait until they say that they serve again."""
        await self._until(nodes, seconds, is_ready=True)

    async def until_remade(self, nodes: Sequence[ServedNode]) -> None:
        """Wait until they have ended each dead connection to their engine, and serve again."""
        begun = time.monotonic()
        for node in nodes:
            while node.proxy is not None and node.proxy.dead:
                if time.monotonic() - begun > RED_SECONDS:
                    raise Unsound(f"{self.done[-1]}: {node.proxy.dead} are kept\n{node.log}")
                await asyncio.sleep(0.05)
        self._note_time("remade", begun)
        await self.until_green(nodes)

    async def _until(self, nodes: Sequence[ServedNode], seconds: float, *, is_ready: bool) -> None:
        begun = time.monotonic()
        for node in nodes:
            while await self.is_ready(node) is not is_ready:
                if time.monotonic() - begun > seconds:
                    state = f"ready={not is_ready} after {seconds:g} s"
                    raise Unsound(f"{self.done[-1]}: {state}\n{node.log}")
                await asyncio.sleep(0.05)
        self._note_time("green" if is_ready else "red", begun)

    def _note_time(self, change: str, begun: float) -> None:
        took = time.monotonic() - begun, self.done[-1]
        self.slowest[change] = max(self.slowest.get(change, took), took)

    async def subjects(self, node: ServedNode) -> list[str]:
        """List who is on the item, as a node knows it: each as often as it has members."""
        path = item_path(ITEM).partition("/ws")[0] + "/members"
        headers = {"Authorization": f"Bearer {token('last')}"}
        answer = await self.http.get(node.url + path, headers=headers)
        return [one["subject"] for one in answer.json()["members"]]
