"""What the engine process does: it lets nodes use one engine, and carries between them.

Nodes are read as strangers are: what does not fit ends their connection, and one that takes nothing
is cut off before it fills the memory. It reads what it has missed when it comes back.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from itemwire.engines.base import Answer, Bounds, Engine, EngineError, History, Sink, Span
from itemwire.engines.notices import NoticeStore
from itemwire.engines.tasks import SEE_LOG, end, repeat
from itemwire.engines.unix.heard_channels import HeardChannels
from itemwire.engines.unix.node_notices import notices_of
from itemwire.engines.unix.served_node import ServedNode
from itemwire.engines.unix.told_bounds import ToldBounds
from itemwire.engines.unix.told_messages import stored_of
from itemwire.engines.unix.words import (
    LiveWord,
    MissedWord,
    NoticeWord,
    StaleWord,
    StateWord,
    ToldWord,
    UnheardWord,
    Word,
    encode_word,
)
from itemwire.messages import Draft, Position, Publication

logger = logging.getLogger("itemwire.engines")

BACKLOG: Final = 128
SETTLE_SECONDS: Final = 60.0  # in which all nodes have come that were there before
LOOK_SECONDS: Final = 0.05  # between two looks at how the engine is


class EngineServer:
    """Serves an engine at a Unix socket to every node that may enter its folder.

    An engine on a server is started when the first node has told its bounds. That one cannot be
    reached at the moment is told each node that comes.
    """

    def __init__(self, engine: Engine, bounds: ToldBounds) -> None:
        self.engine = engine
        self.bounds = bounds
        self.notices = notices_of(engine, self._tell_every_node)
        self._is_shared = isinstance(engine, NoticeStore)
        self._known_bounds: dict[Bounds, Bounds] = {}
        self._nodes: dict[ServedNode, None] = {}
        self._channels = HeardChannels(engine, self._refuse)
        self._delivered: tuple[str, Publication] | None = None
        self._will_flush = False
        self._server: asyncio.Server | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._is_started = False
        self._starting: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._greeting: list[ServedNode] = []  # those that wait for the engine
        self._state: StateWord | None = None
        self.all_gone = asyncio.Event()  # set while no node is connected
        self.all_gone.set()

    async def start(self, path: str) -> None:
        """Listen, with an engine of this process started; EngineError or OSError says why not."""
        if not self._is_shared:
            await self._start_engine()
        _remove(path)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: ServedNode(self), path, backlog=BACKLOG
        )
        self._looking = asyncio.create_task(repeat(LOOK_SECONDS, self._look))

    async def _start_engine(self) -> None:
        sink = Sink(self._deliver, self.notices.apply, self._lose, self._hear, self._miss)
        await self.engine.start(sink)
        self._is_started = True

    async def stop(self) -> None:
        """Listen no longer, end every connection, and stop the engine."""
        if self._server is not None:
            self._server.close()
        if self._settling is not None:
            self._settling.cancel()
        await end(self._starting, self._looking)
        for node in [*self._nodes, *self._greeting]:
            node.break_off("the engine process ends")
        await self.engine.stop()

    def greet(self, node: ServedNode, largest: Bounds) -> None:
        """Have a node welcomed once the engine is started, or turned away if it cannot be."""
        self.bounds.tell_largest(largest)
        if self._is_started:
            node.welcome()
            return
        self._greeting.append(node)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start_for_nodes())

    async def _start_for_nodes(self) -> None:
        problem: EngineError | None = None
        try:
            await self._start_engine()
        except EngineError as error:
            problem = error
        except Exception:
            logger.exception("engine_failed")
            problem = EngineError(SEE_LOG)
        self._starting = None
        greeting, self._greeting = self._greeting, []
        for node in greeting:
            if problem is None:
                node.welcome()
            else:
                node.turn_away(problem)

    async def _look(self) -> None:
        """Tell all nodes how the engine is as soon as that changes: they answer for it."""
        if self._is_started:
            state = StateWord.of(self.engine)
            if state != self._state:
                self._state = state
                self._tell_all(state, self._nodes)

    def admit(self, node: ServedNode) -> None:
        """Take a node that is welcome: from now on it is told notices."""
        if self._settling is None and not self._is_shared:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(SETTLE_SECONDS, self.bounds.settle)
        self._nodes[node] = None
        self.all_gone.clear()

    def dismiss(self, node: ServedNode) -> None:
        """Forget a node whose connection is over, and what it subscribed to."""
        for channel in node.channels:
            self._channels.leave(node, channel)
        node.channels.clear()
        self._nodes.pop(node, None)
        if not self._nodes:
            self.all_gone.set()

    def same_bounds(self, bounds: Bounds) -> Bounds:
        """Return the object that stands for all bounds that are equal to these."""
        return self._known_bounds.setdefault(bounds, bounds)

    def subscribe(self, node: ServedNode, channel: str) -> None:
        """Tell a node the messages of a channel."""
        node.channels[channel] = None
        self._channels.join(node, channel)

    def unsubscribe(self, node: ServedNode, channel: str) -> None:
        """Tell a node no more of a channel."""
        if channel in node.channels:
            del node.channels[channel]
            self._channels.leave(node, channel)

    def _refuse(self, channel: str, problem: EngineError) -> None:
        """Tell all nodes that wait for a channel that it cannot be heard."""
        word = UnheardWord(channel, str(problem), problem.fault.name)
        self._tell_all(word, self._channels.nodes_of(channel))

    def read(self, node: ServedNode, channel: str, span: Span, answer: Answer[History]) -> None:
        """Read a part of a history; of a channel that the node hears, once it is heard."""
        self._channels.read(node, channel, span, answer)

    def position_of(self, channel: str) -> Position | None:
        """Return up to where a channel was told; None if that is not known."""
        heard = self._channels.find(channel)
        return None if heard is None else heard.position

    def _deliver(self, channel: str, publication: Publication) -> None:
        """Keep a message for this turn: the answer to its publisher may come next."""
        self._flush_delivered()
        heard = self._channels.find(channel)
        if heard is None:
            return
        heard.offset = publication.offset
        self._delivered = channel, publication
        if not (self.engine.answers_at_once or self._will_flush):
            self._will_flush = True
            asyncio.get_running_loop().call_soon(self._flush_late)

    def publish_answered(
        self, node: ServedNode, channel: str, draft: Draft, position: Position
    ) -> bool:
        """Tell all others what a node has published; return whether they, and not it, are told."""
        if self._delivered is None:
            return False
        on, publication = self._delivered
        heard = self._channels.find(channel)
        if on != channel or heard is None or heard.epoch not in {"", position.epoch}:
            return False
        if publication != Publication.of(draft, position.offset):
            return False  # it came from elsewhere in the same turn
        self._delivered = None
        heard.epoch = position.epoch
        others = heard.nodes
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
        """Tell a message that no answer belongs to; have it read, where its epoch is not known."""
        if self._delivered is None:
            return
        channel, publication = self._delivered
        self._delivered = None
        heard = self._channels.find(channel)
        if heard is None:
            return
        if heard.epoch:
            word: Word = LiveWord(channel, heard.epoch, stored_of(publication))
        else:
            word = StaleWord(channel)
        self._tell_all(word, heard.nodes)

    def _lose(self, channel: str, position: Position) -> None:
        """Have the channel read: each node knows best what it has missed."""
        self._flush_delivered()
        heard = self._channels.find(channel)
        if heard is not None:
            heard.epoch, heard.offset = position.epoch, position.offset
            self._tell_all(StaleWord(channel), heard.nodes)

    def _hear(self, channel: str, words: bytes) -> None:
        self._tell_all(ToldWord(channel, words), self._channels.nodes_of(channel))

    def _miss(self, channel: str) -> None:
        self._tell_all(MissedWord(channel), self._channels.nodes_of(channel))

    def _tell_every_node(self, word: NoticeWord) -> None:
        self._tell_all(word, self._nodes)

    def _tell_all(self, word: Word, nodes: dict[ServedNode, None]) -> None:
        encoded = encode_word(word)
        for node in nodes:
            node.send_encoded(encoded)


def _remove(path: str) -> None:
    """Remove the socket of a process that was killed."""
    Path(path).unlink(missing_ok=True)
