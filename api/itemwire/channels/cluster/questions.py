"""Asks the other nodes something for an operator, and waits a second at most."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar

import msgspec

from itemwire.channels.cluster.gossip import NodeStopping
from itemwire.channels.cluster.inquiries import (
    MAX_ANSWER_BYTES,
    Inquiry,
    NodeAnswer,
    NodeQuestion,
    NodeTold,
)
from itemwire.channels.cluster.notices import Notice
from itemwire.channels.cluster.peer import DEAD_TICKS
from itemwire.counters import ChannelCounters
from itemwire.engines.base import Engine, EngineError

logger = logging.getLogger("itemwire.channels")

WAIT_SECONDS: Final = 1.0  # a node that lives answers within 0.05 s, unless it is very busy
AT_ONCE: Final = 16  # questions of other nodes that are being answered; others get no answer
MAX_OPEN: Final = 1000  # own questions that wait
MAX_NODES: Final = 1000

T = TypeVar("T")

Handler = Callable[[msgspec.Raw], Awaitable[object]]
"""Answers a question; ValueError, of which msgspec's errors are, for one that it cannot read."""

Hear = Callable[[str, msgspec.Raw], None]
"""Receives what another node tells: its id and the facts; ValueError as above."""


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What each node has answered, this one first, and the nodes that did not in time."""

    by_node: Mapping[str, T]
    missing: list[str]


@dataclass(slots=True)
class _Open:
    """A question that waits: for whom, and what has come."""

    waiting: set[str]
    answers: dict[str, msgspec.Raw] = field(default_factory=dict[str, msgspec.Raw])
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, node: str, facts: msgspec.Raw) -> None:
        if node in self.waiting:
            self.waiting.discard(node)
            self.answers[node] = facts
            if not self.waiting:
                self.is_over.set()


class Questions:
    """Carries questions between nodes, and answers those of the others.

    Nodes are known by their gossip. One that was killed is still asked for a few seconds, and is
    then among the missing. An answer is a few kilobytes, and never larger than one notice may be.
    """

    def __init__(self, node_id: str, engine: Engine, counters: ChannelCounters) -> None:
        self.node_id: Final = node_id
        self._engine = engine
        self._counters = counters
        self._handlers: dict[str, Handler] = {}
        self._hearers: dict[str, Hear] = {}
        self._heard_at: dict[str, float] = {}  # by node, when it last gave a sign of life
        self._open: dict[int, _Open] = {}
        self._number = 0
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def other_nodes(self) -> list[str]:
        """Return the ids of the other nodes that are there, as far as is known."""
        since = time.monotonic() - DEAD_TICKS
        for node in [node for node, at in self._heard_at.items() if at < since]:
            del self._heard_at[node]
        return sorted(self._heard_at)

    def answer_with(self, kind: str, handler: Handler) -> None:
        """Have questions of a kind answered from now on."""
        self._handlers[kind] = handler

    def hear_with(self, kind: str, hear: Hear) -> None:
        """Have a callback receive what other nodes tell of a kind."""
        self._hearers[kind] = hear

    def tell(self, kind: str, facts: object) -> None:
        """Tell every other node something; nothing is sent where there is none."""
        if self.other_nodes:
            self._post(NodeTold(kind, _written(facts)), _ignore)

    async def ask(self, kind: str, facts: object, shape: type[T]) -> Answers[T]:
        """Return what all nodes answer, this one included, each read as a `shape`.

        One that says nothing within `WAIT_SECONDS`, or nothing that can be read, is missing.
        """
        others, written = self.other_nodes, _written(facts)
        asked = _Open(set(others))
        self._number = number = self._number + 1
        try:
            if others and len(self._open) < MAX_OPEN:
                self._open[number] = asked
                self._post(NodeQuestion(number, kind, written), partial(_end_if_refused, asked))
            own = _written(await self._handlers[kind](written))
            if self._open.get(number) is asked:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WAIT_SECONDS):
                        await asked.is_over.wait()
        finally:
            self._open.pop(number, None)
        read = {self.node_id: msgspec.json.decode(own, type=shape)}
        read.update(self._read(asked.answers, shape))
        return Answers(read, [node for node in others if node not in read])

    def receive(self, notice: Notice) -> bool:
        """Take a notice of another node; return whether nobody else has to look at it."""
        inquiry = notice.inquiry
        if notice.gossip is not None or inquiry is not None:
            self._note_life(notice)
        if inquiry is None:
            return False
        if isinstance(inquiry, NodeAnswer):
            asked = self._open.get(inquiry.number)
            if asked is not None and inquiry.to == self.node_id:
                asked.take(notice.node, inquiry.facts)
        elif isinstance(inquiry, NodeTold):
            self._hear(notice.node, inquiry)
        elif len(self._answering) < AT_ONCE and inquiry.kind in self._handlers:
            task = asyncio.get_running_loop().create_task(self._answer(notice.node, inquiry))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        return True

    async def stop(self) -> None:
        """Answer nothing more."""
        self._handlers.clear()
        self._hearers.clear()
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering)

    def _note_life(self, notice: Notice) -> None:
        lines = notice.gossip.lines if notice.gossip is not None else ()
        if lines and isinstance(lines[-1], NodeStopping):
            self._heard_at.pop(notice.node, None)
        elif notice.node in self._heard_at or len(self._heard_at) < MAX_NODES:
            self._heard_at[notice.node] = time.monotonic()

    def _hear(self, node: str, told: NodeTold) -> None:
        hear = self._hearers.get(told.kind)
        if hear is None:
            return
        try:
            hear(node, told.facts)
        except ValueError as error:
            self._drop(node, error)

    async def _answer(self, node: str, question: NodeQuestion) -> None:
        try:
            facts = _written(await self._handlers[question.kind](question.facts))
        except ValueError as error:
            self._drop(node, error)
            return
        except Exception:
            logger.exception("answer_failed")
            return
        if len(facts) > MAX_ANSWER_BYTES:
            logger.error("answer_failed problem=%r", f"{len(facts)} bytes are too many")
            return
        self._post(NodeAnswer(node, question.number, facts), _ignore)

    def _read(self, answers: Mapping[str, msgspec.Raw], shape: type[T]) -> dict[str, T]:
        read: dict[str, T] = {}
        for node, facts in sorted(answers.items()):
            try:
                read[node] = msgspec.json.decode(facts, type=shape)
            except ValueError as error:
                self._drop(node, error)
        return read

    def _drop(self, node: str, problem: ValueError) -> None:
        self._counters.notices_dropped += 1
        logger.error("notice_unreadable problem=%r", f"of the node {node!r}: {problem}")

    def _post(self, inquiry: Inquiry, posted: Callable[[EngineError | None], None]) -> None:
        self._engine.post(Notice(self.node_id, inquiry=inquiry).encoded(), 0, posted)


def _written(facts: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(facts))


def _end_if_refused(asked: _Open, problem: EngineError | None) -> None:
    """Wait no longer where the engine did not take the question."""
    if problem is not None:
        asked.is_over.set()


def _ignore(_problem: EngineError | None) -> None:
    """Leave it: who asked is told that this node is missing."""
