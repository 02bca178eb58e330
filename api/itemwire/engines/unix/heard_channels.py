"""The channels that nodes of the engine process hear, each subscribed to once for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from itemwire.engines.base import Answer, Engine, EngineError, History, Span
from itemwire.messages import Position

if TYPE_CHECKING:
    from itemwire.engines.unix.served_node import ServedNode

Refuse = Callable[[str, EngineError], None]
"""Receives the channel that could not be subscribed to."""


class HeardChannel:
    """Who hears a channel, and up to where its messages have come."""

    __slots__ = ("epoch", "is_asked", "is_heard", "new", "nodes", "offset", "waiting")

    def __init__(self) -> None:
        self.nodes: dict[ServedNode, None] = {}
        self.new: set[ServedNode] = set()  # those that have not read it yet
        self.is_asked = False  # the engine has not answered yet
        self.is_heard = False
        self.epoch = ""  # not known yet: no epoch has this name
        self.offset = 0
        self.waiting: list[Answer[None]] = []

    @property
    def position(self) -> Position | None:
        """Return the position that every message from now on is beyond; None if not known."""
        return Position(self.epoch, self.offset) if self.is_heard and self.epoch else None

    def begin_at(self, position: Position) -> None:
        """Take a position that was read, unless what has come since says more."""
        if not self.epoch:
            self.epoch, self.offset = position.epoch, max(position.offset, self.offset)


class HeardChannels:
    """Subscribes to a channel with its first node, and leaves it with the last one."""

    def __init__(self, engine: Engine, refuse: Refuse) -> None:
        self._engine = engine
        self._refuse = refuse
        self._heard: dict[str, HeardChannel] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def find(self, channel: str) -> HeardChannel | None:
        """Return a channel that nodes hear."""
        return self._heard.get(channel)

    def nodes_of(self, channel: str) -> dict[ServedNode, None]:
        """Return the nodes that hear a channel."""
        heard = self._heard.get(channel)
        return {} if heard is None else heard.nodes

    def join(self, node: ServedNode, channel: str) -> None:
        """Let a node hear a channel."""
        heard = self._heard.get(channel)
        if heard is None:
            heard = self._heard[channel] = HeardChannel()
        heard.nodes[node] = None
        heard.new.add(node)
        if not heard.is_heard:
            self._subscribe(channel, heard)

    def leave(self, node: ServedNode, channel: str) -> None:
        """Let a node hear a channel no longer."""
        heard = self._heard[channel]
        del heard.nodes[node]
        heard.new.discard(node)
        if not heard.nodes:
            del self._heard[channel]
            self._engine.unsubscribe(channel)

    def _subscribe(self, channel: str, heard: HeardChannel) -> None:
        if heard.is_asked:
            return
        heard.is_asked = True

        def answered(problem: EngineError | None) -> None:
            heard.is_asked, heard.is_heard = False, problem is None
            if problem is not None and self._heard.get(channel) is heard:
                self._refuse(channel, problem)
            waiting, heard.waiting = heard.waiting, []
            for one in waiting:
                one(problem)

        self._engine.subscribe(channel, answered)

    def read(self, node: ServedNode, channel: str, span: Span, answer: Answer[History]) -> None:
        """Read for a node: what it hears, once it is heard, so that nothing is missed between."""
        heard = self._heard.get(channel)
        if heard is None or heard.is_heard or node not in heard.nodes:
            self._read(node, channel, span, answer)
            return

        def subscribed(problem: EngineError | None) -> None:
            if problem is None:
                self._read(node, channel, span, answer)
            else:
                answer(problem)

        heard.waiting.append(subscribed)
        self._subscribe(channel, heard)

    def _read(self, node: ServedNode, channel: str, span: Span, answer: Answer[History]) -> None:
        heard = self._heard.get(channel)
        if heard is None or not heard.is_heard:
            self._engine.read(channel, span, answer)
            return
        at = heard.position
        is_first = node in heard.new and span.limit == 0
        heard.new.discard(node)
        if is_first and at is not None and self._engine.is_available:
            answer(History.of(at, [], span))  # where a node begins that hears it, too
            return

        def have_read(history: History | EngineError) -> None:
            if not isinstance(history, EngineError):
                heard.begin_at(history.position)
            answer(history)

        self._engine.read(channel, span, have_read)
