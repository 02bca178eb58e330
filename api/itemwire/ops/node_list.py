"""Lists the nodes, with what each says of itself."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import msgspec

from itemwire.channels.cluster.questions import Questions

NODE: Final = "node"  # the kind of the question


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node says of itself: `status` and `reason` are those of `/health/ready`.

    `started_at` is in Unix seconds. `workers` is how many processes its server was told to run, of
    which each is a node.
    """

    node: str
    host: str
    version: str
    started_at: int
    connections: int
    channels: int
    status: str
    reason: str | None
    engine: str
    workers: int
    pid: int
    lag_ms: float


@dataclass(frozen=True, slots=True)
class NodeFactsPage:
    """All nodes, and the ids of those that did not answer in time."""

    nodes: list[NodeFacts]
    missing: list[str]


@dataclass(frozen=True, slots=True)
class NodeNow:
    """What a node says of itself that changes."""

    connections: int
    channels: int
    status: str
    reason: str | None
    lag_ms: float


class NodeList:
    """Lists nodes, and answers other nodes for this one."""

    def __init__(
        self,
        questions: Questions,
        look: Callable[[], NodeNow],
        *,
        engine: str,
        workers: int,
        clock: Callable[[], float],
    ) -> None:
        self._questions = questions
        self._look = look
        self._engine = engine
        self._workers = workers
        self._clock = clock
        self._started_at = 0
        self._version = version("itemwire")
        self._host = socket.gethostname()

    def start(self) -> None:
        """Count as started, and answer other nodes from now on."""
        self._started_at = int(self._clock())
        self._questions.answer_with(NODE, self._answer)

    async def all(self) -> NodeFactsPage:
        """Return what each node says of itself."""
        found = await self._questions.ask(NODE, None, NodeFacts)
        return NodeFactsPage(list(found.by_node.values()), found.missing)

    async def _answer(self, _facts: msgspec.Raw) -> NodeFacts:
        now = self._look()
        return NodeFacts(
            node=self._questions.node_id,
            host=self._host,
            version=self._version,
            started_at=self._started_at,
            connections=now.connections,
            channels=now.channels,
            status=now.status,
            reason=now.reason,
            engine=self._engine,
            workers=self._workers,
            pid=os.getpid(),
            lag_ms=now.lag_ms,
        )
