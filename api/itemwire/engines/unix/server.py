"""What the engine process does: it lets nodes use one engine, and carries between them.

Nodes are read as strangers are: what does not fit ends their connection, and one that takes nothing
is cut off before it fills the memory. It reads what it has missed when it comes back.
"""

from __future__ import annotations

import asyncio
import logging
import math
from pathlib import Path
from typing import Final

from itemwire.engines.base import Answer, Bounds, Engine, EngineError, Sink
from itemwire.engines.faults import FULL
from itemwire.engines.unix.notice_log import NoticeLog
from itemwire.engines.unix.served_node import ServedNode
from itemwire.engines.unix.told_bounds import ToldBounds
from itemwire.engines.unix.words import (
    PASSING,
    LiveWord,
    NoticeWord,
    StaleWord,
    ToldWord,
    Word,
    encode_word,
    stored_of,
)
from itemwire.messages import Position, Publication

logger = logging.getLogger("itemwire.engines")

BACKLOG: Final = 128
SETTLE_SECONDS: Final = 60.0  # in which all nodes have come that were there before


class EngineServer:
    """Serves an engine at a Unix socket to every node that may enter its folder."""

    def __init__(self, engine: Engine, bounds: ToldBounds) -> None:
        self.engine = engine
        self.bounds = bounds
        self.notices = NoticeLog()
        self._known_bounds: dict[Bounds, Bounds] = {}
        self._nodes: dict[ServedNode, None] = {}
        self._subscribers: dict[str, dict[ServedNode, None]] = {}
        self._posting: dict[bytes, float] = {}
        self._delivered: tuple[str, Publication] | None = None
        self._will_flush = False
        self._server: asyncio.Server | None = None
        self._settling: asyncio.TimerHandle | None = None
        self.all_gone = asyncio.Event()  # set while no node is connected
        self.all_gone.set()

    async def start(self, path: str) -> None:
        """Start the engine and listen; EngineError or OSError says why that cannot be."""
        await self.engine.start(Sink(self._deliver, self._apply))
        _remove(path)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: ServedNode(self), path, backlog=BACKLOG
        )

    async def stop(self) -> None:
        """Listen no longer, end every connection, and stop the engine."""
        if self._server is not None:
            self._server.close()
        if self._settling is not None:
            self._settling.cancel()
        for node in list(self._nodes):
            node.break_off("the engine process ends")
        await self.engine.stop()

    def admit(self, node: ServedNode, largest: Bounds) -> None:
        """Take a node that has greeted: from now on it is told notices."""
        self.bounds.tell_largest(largest)
        if self._settling is None:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(SETTLE_SECONDS, self.bounds.settle)
        self._nodes[node] = None
        self.all_gone.clear()

    def dismiss(self, node: ServedNode) -> None:
        """Forget a node whose connection is over, and what it subscribed to."""
        for channel in node.channels:
            self._leave(node, channel)
        node.channels.clear()
        self._nodes.pop(node, None)
        if not self._nodes:
            self.all_gone.set()

    def same_bounds(self, bounds: Bounds) -> Bounds:
        """Return the object that stands for all bounds that are equal to these."""
        return self._known_bounds.setdefault(bounds, bounds)

    def subscribe(self, node: ServedNode, channel: str) -> None:
        """Tell a node the messages of a channel."""
        subscribers = self._subscribers.get(channel)
        if subscribers is None:
            subscribers = self._subscribers[channel] = {}
            self.engine.subscribe(channel, _unheard)
        subscribers[node] = None
        node.channels[channel] = None

    def unsubscribe(self, node: ServedNode, channel: str) -> None:
        """Tell a node no more of a channel."""
        if channel in node.channels:
            del node.channels[channel]
            self._leave(node, channel)

    def _leave(self, node: ServedNode, channel: str) -> None:
        subscribers = self._subscribers[channel]
        del subscribers[node]
        if not subscribers:
            del self._subscribers[channel]
            self.engine.unsubscribe(channel)

    def _deliver(self, channel: str, publication: Publication) -> None:
        """Keep a message until its publisher's answer, which comes next, says its epoch."""
        self._flush_delivered()
        self._delivered = channel, publication
        if not (self.engine.answers_at_once or self._will_flush):
            self._will_flush = True
            asyncio.get_running_loop().call_soon(self._flush_late)

    def publish_answered(self, node: ServedNode, channel: str, position: Position) -> bool:
        """Tell all others what a node has published; return whether it was a new message."""
        if self._delivered is None:
            return False
        on, publication = self._delivered
        if on != channel or publication.offset != position.offset:
            return False
        self._delivered = None
        others = self._subscribers[channel]
        if len(others) > 1 or node not in others:
            word = encode_word(LiveWord(channel, position.epoch, stored_of(publication)))
            for other in others:
                if other is not node:
                    other.send_encoded(word)
        return True

    def _flush_late(self) -> None:
        self._will_flush = False
        self._flush_delivered()

    def _flush_delivered(self) -> None:
        """Have a message read that no answer belongs to: its publisher has been refused before."""
        if self._delivered is not None:
            channel, _ = self._delivered
            self._delivered = None
            self._tell_all(StaleWord(channel), self._subscribers.get(channel, ()))

    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        """Carry a notice to every node; one that nobody has to keep is only passed on."""
        if until <= 0:
            self._tell_all(NoticeWord("", PASSING, notice), self._nodes)
            answer(None)
        elif not self.notices.has_room:
            answer(EngineError("there is no room for another notice", FULL))
        else:
            self._posting[notice] = until

            def posted(problem: EngineError | None) -> None:
                self._posting.pop(notice, None)
                answer(problem)

            self.engine.post(notice, until, posted)

    def tell(self, channel: str, words: bytes) -> None:
        """Carry words to every node that subscribes to a channel; the engine has no part in it."""
        self._tell_all(ToldWord(channel, words), self._subscribers.get(channel, ()))

    def _apply(self, notice: bytes) -> None:
        """Keep a notice and tell it; one whose end is not known, from before, is kept."""
        number = self.notices.add(notice, self._posting.get(notice, math.inf))
        self._tell_all(NoticeWord(self.notices.epoch, number, notice), self._nodes)

    def _tell_all(self, word: Word, nodes: dict[ServedNode, None] | tuple[()]) -> None:
        encoded = encode_word(word)
        for node in nodes:
            node.send_encoded(encoded)


def _remove(path: str) -> None:
    """Remove the socket of a process that was killed."""
    Path(path).unlink(missing_ok=True)


def _unheard(problem: EngineError | None) -> None:
    """Leave a subscription that failed to the engine: its nodes read the channel next."""
    if problem is not None:
        logger.warning("engine_failed problem=%s", problem)
