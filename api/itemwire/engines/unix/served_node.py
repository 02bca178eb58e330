"""One node at the engine process: its words are done in their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from typing_extensions import override

from itemwire.engines.base import Answer, Bounds, Engine, EngineError, History, Span, UnfitEngine
from itemwire.engines.unix.frames import WordProtocol
from itemwire.engines.unix.node_notices import NodeNotices
from itemwire.engines.unix.told_bounds import ToldBounds
from itemwire.engines.unix.told_messages import draft_of, read_of
from itemwire.engines.unix.words import (
    VERSION,
    ComparedWord,
    DoneWord,
    EraseWord,
    GreetingWord,
    NodeWord,
    NoEngineWord,
    PingWord,
    PositionsWord,
    PositionWord,
    PostWord,
    PublishedWord,
    PublishWord,
    PutWord,
    ReadNoticesWord,
    ReadWord,
    RefusedWord,
    RuleWord,
    SecretWord,
    StateWord,
    SubscribeWord,
    TakeWord,
    TellWord,
    UnsubscribeWord,
    ValueWord,
    WelcomeWord,
    Word,
    decode_node_words,
)
from itemwire.messages import Draft, Position

logger = logging.getLogger("itemwire.engines")

MOST_FRAME: Final = 128 << 20  # more than a node lets wait
MOST_UNSENT: Final = 64 << 20  # of a node that does not read
MOST_RULES: Final = 10_000
PAUSE_BYTES: Final = 1 << 20  # of answers: with more it is asked to wait


class NodeService(Protocol):
    """What nodes share: an engine, and who hears what of it."""

    engine: Engine
    bounds: ToldBounds
    notices: NodeNotices

    def greet(self, node: ServedNode, largest: Bounds) -> None:
        """Have a node welcomed once the engine is started, or turned away if it cannot be."""
        ...

    def admit(self, node: ServedNode) -> None:
        """Take a node that is welcome: from now on it is told notices."""
        ...

    def dismiss(self, node: ServedNode) -> None:
        """Forget a node whose connection is over, and what it subscribed to."""
        ...

    def same_bounds(self, bounds: Bounds) -> Bounds:
        """Return the object that stands for all bounds that are equal to these."""
        ...

    def subscribe(self, node: ServedNode, channel: str) -> None:
        """Tell a node the messages of a channel."""
        ...

    def unsubscribe(self, node: ServedNode, channel: str) -> None:
        """Tell a node no more of a channel."""
        ...

    def publish_answered(
        self, node: ServedNode, channel: str, draft: Draft, position: Position
    ) -> bool:
        """Tell all others what a node has published; return whether they, and not it, are told."""
        ...

    def read(self, node: ServedNode, channel: str, span: Span, answer: Answer[History]) -> None:
        """Read a part of a history; of a channel that the node hears, once it is heard."""
        ...

    def position_of(self, channel: str) -> Position | None:
        """Return up to where a channel was told; None if that is not known."""
        ...


class ServedNode(WordProtocol[NodeWord]):
    """A connection from a node, and what it subscribes to."""

    def __init__(self, service: NodeService) -> None:
        super().__init__(decode_node_words, MOST_FRAME)
        self._service = service
        self._is_greeted = False
        self._rules: list[Bounds] = []
        self.channels: dict[str, None] = {}

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=PAUSE_BYTES)

    @override
    def pause_writing(self) -> None:
        """Do nothing more for a node that does not take its answers."""
        if self.transport is not None:
            self.transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()

    @override
    def _flush(self) -> None:
        if self.transport is not None and self.transport.get_write_buffer_size() > MOST_UNSENT:
            self.refuse(f"it has left {MOST_UNSENT >> 20} MiB unread")
        super()._flush()

    @override
    def refuse(self, problem: str) -> None:
        logger.warning("node_cut_off problem=%s", problem)
        super().refuse(problem)

    @override
    def end(self, problem: str) -> None:
        self._service.dismiss(self)

    @override
    def receive(self, word: NodeWord) -> None:
        if not self._is_greeted and not isinstance(word, GreetingWord):
            raise ValueError("it has not greeted")
        DO[type(word)](self, word)

    def greet(self, word: GreetingWord) -> None:
        """Have a node welcomed; one of another version is told so, and goes."""
        if word.version == VERSION:
            self._service.greet(self, word.largest.bounds)
        else:
            self.send(WelcomeWord(VERSION))

    def welcome(self) -> None:
        """Let a node ask, unless it has gone."""
        if self.transport is not None:
            self._is_greeted = True
            self.send(WelcomeWord(VERSION))
            self.send(StateWord.of(self._service.engine))
            self._service.admit(self)

    def turn_away(self, problem: EngineError) -> None:
        """Tell a node why there is no engine; it comes again."""
        self.send(NoEngineWord(str(problem), isinstance(problem, UnfitEngine)))

    def take_rule(self, word: RuleWord) -> None:
        """Take bounds that are named by their number."""
        if len(self._rules) >= MOST_RULES:
            raise ValueError("it has too many rules")
        self._rules.append(self._service.same_bounds(word.bounds.bounds))

    def subscribe(self, word: SubscribeWord) -> None:
        """Tell it the messages of a channel."""
        self._tell_bounds(word.channel, word.rule)
        self._service.subscribe(self, word.channel)

    def unsubscribe(self, word: UnsubscribeWord) -> None:
        """Tell it no more of a channel."""
        self._service.unsubscribe(self, word.channel)

    def publish(self, word: PublishWord) -> None:
        """Store a message and tell all who subscribe to its channel."""
        channel, id_ = word.channel, word.id
        self._tell_bounds(channel, word.rule)

        def answered(result: Position | EngineError) -> None:
            if isinstance(result, EngineError):
                self.send(RefusedWord.of(id_, result))
                return
            is_new = self._service.publish_answered(self, channel, draft, result)
            self.send(PublishedWord(id_, result.epoch, result.offset, is_new))

        draft = draft_of(word.message, word.key)
        self._service.engine.publish(channel, draft, answered)

    def read(self, word: ReadWord) -> None:
        """Answer a part of a history."""
        self._tell_bounds(word.channel, word.rule)
        span = Span(word.limit, word.after, word.before, word.retained)

        def answered(result: History | EngineError) -> None:
            if isinstance(result, EngineError):
                self.send(RefusedWord.of(word.id, result))
            else:
                self.send(read_of(word.id, result))

        self._service.read(self, word.channel, span, answered)

    def compare(self, word: ComparedWord) -> None:
        """Answer up to where channels were told."""
        found = [self._service.position_of(channel) for channel in word.channels]
        told = [None if at is None else PositionWord(at.epoch, at.offset) for at in found]
        self.send(PositionsWord(word.id, told))

    def erase(self, word: EraseWord) -> None:
        """Forget the messages of a channel."""
        self._service.engine.erase(word.channel, self._done(word.id))

    def post(self, word: PostWord) -> None:
        """Carry a notice to every node."""
        self._service.notices.post(word.notice, word.until, self._done(word.id))

    def tell(self, word: TellWord) -> None:
        """Carry words to every node that subscribes to a channel."""
        self._service.engine.tell(word.channel, word.words, self._done(word.id))

    def read_notices(self, word: ReadNoticesWord) -> None:
        """Answer the notices that are kept."""
        self._service.notices.read(word, self.send)

    def put(self, word: PutWord) -> None:
        """Keep a value."""
        self._service.engine.put(word.key, word.value, word.seconds, self._done(word.id))

    def take(self, word: TakeWord) -> None:
        """Answer a value, and forget it."""
        self._service.engine.take(word.key, self._valued(word.id))

    def tell_secret(self, word: SecretWord) -> None:
        """Answer the secret of the store."""
        self._service.engine.secret(self._valued(word.id))

    def tell_state(self, _word: PingWord) -> None:
        """Say that this process is there, and how its engine is."""
        self.send(StateWord.of(self._service.engine))

    def _tell_bounds(self, channel: str, rule: int) -> None:
        if rule >= len(self._rules):
            raise ValueError("it names a rule that it has not told")
        self._service.bounds.tell(channel, self._rules[rule])

    def _done(self, id_: int) -> Answer[None]:
        def answered(problem: EngineError | None) -> None:
            self.send(DoneWord(id_) if problem is None else RefusedWord.of(id_, problem))

        return answered

    def _valued(self, id_: int) -> Callable[[bytes | EngineError | None], None]:
        def answered(result: bytes | EngineError | None) -> None:
            if isinstance(result, EngineError):
                self.send(RefusedWord.of(id_, result))
            else:
                self.send(ValueWord(id_, result))

        return answered


DO: Final[dict[type[Word], Callable[[ServedNode, Any], None]]] = {
    GreetingWord: ServedNode.greet,
    RuleWord: ServedNode.take_rule,
    SubscribeWord: ServedNode.subscribe,
    UnsubscribeWord: ServedNode.unsubscribe,
    PublishWord: ServedNode.publish,
    ReadWord: ServedNode.read,
    PostWord: ServedNode.post,
    ReadNoticesWord: ServedNode.read_notices,
    PutWord: ServedNode.put,
    TakeWord: ServedNode.take,
    SecretWord: ServedNode.tell_secret,
    PingWord: ServedNode.tell_state,
    TellWord: ServedNode.tell,
    EraseWord: ServedNode.erase,
    ComparedWord: ServedNode.compare,
}
"""What is done at each word."""
