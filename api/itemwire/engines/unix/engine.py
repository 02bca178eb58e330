"""The engine of a worker: it asks the one process of its server that has the real one.

Nothing is lost between them but with the connection, and what a node says arrives in its order. So
a channel is read right after it is subscribed to, without waiting for an answer in between. What
the process's own engine has missed is said by the process, which compares it with the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from typing_extensions import override

from itemwire.engines.base import (
    NO_SINK,
    Answer,
    Bounds,
    ChannelBounds,
    EngineError,
    History,
    Sink,
    Span,
)
from itemwire.engines.faults import EngineFault
from itemwire.engines.networked import AWAY, NetworkedEngine, Routine
from itemwire.engines.unix.link import EngineLink, no_text
from itemwire.engines.unix.notices import UnixNotices, done
from itemwire.engines.unix.told_messages import history_of, message_of, publication_of
from itemwire.engines.unix.words import (
    FAULTS,
    VERSION,
    Answered,
    BoundsWord,
    ComparedWord,
    EngineWord,
    EraseWord,
    GreetingWord,
    HistoryWord,
    LiveWord,
    MissedWord,
    NoticeWord,
    PositionsWord,
    PublishedWord,
    PublishWord,
    PutWord,
    ReadWord,
    RuleWord,
    SecretWord,
    StaleWord,
    SubscribeWord,
    TakeWord,
    TellWord,
    ToldWord,
    UnheardWord,
    UnsubscribeWord,
    ValueWord,
)
from itemwire.messages import Draft, Position, Publication, message_size

W = TypeVar("W")

SCHEME: Final = "itemwire+unix://"

CHECK_SECONDS: Final = 60.0  # nothing is missed unnoticed, as far as is known


def open_engine(url: str, bounds: ChannelBounds) -> UnixEngine:
    """Return an engine that asks the process at the socket of a URL, not yet connected."""
    path = url.removeprefix(SCHEME)
    if not path.startswith("/"):
        raise ValueError(
            f"ITEMWIRE_ENGINE_URL: {url} names no socket, as in itemwire+unix:///run/x.sock"
        )
    return UnixEngine(path, bounds)


class UnixEngine(NetworkedEngine):
    """Keeps channels in the engine process, which other nodes on this machine share."""

    def __init__(self, path: str, bounds: ChannelBounds) -> None:
        super().__init__(f"{SCHEME}{path}")
        self._path = path
        self._bounds = bounds
        self._rules: dict[Bounds, int] = {}
        self._heard: dict[str, None] = {}  # the channels that are listened to
        self._begin(NO_SINK)

    @property
    @override
    def _notice_reader(self) -> UnixNotices:
        return self._notices

    @property
    @override
    def _is_connected(self) -> bool:
        return self._link.is_connected and self._link.state.is_available

    @property
    @override
    def _is_away(self) -> bool:
        return self._link.is_away

    @property
    @override
    def fault(self) -> EngineFault | None:
        name = self._link.state.fault
        return None if name is None else FAULTS.get(name)

    @property
    @override
    def parts(self) -> Mapping[str, bool]:
        return self._link.state.parts

    @property
    @override
    def most_bytes(self) -> int | None:
        return self._link.state.most_bytes

    @override
    def _begin(self, sink: Sink) -> None:
        self._heard.clear()
        self._link = EngineLink(self._path, self._greeting, self._opened, self._hear)
        self._notices = UnixNotices(self._link, sink.apply)

    def _greeting(self) -> GreetingWord:
        return GreetingWord(VERSION, BoundsWord.of(self._bounds.largest))

    def _opened(self) -> None:
        """Say what every connection needs to know, listen anew, and read what was missed."""
        for bounds in self._rules:
            self._link.say(RuleWord(BoundsWord.of(bounds)))
        self._notices.check()
        for channel in list(self._heard):
            self._subscribe(channel)

    def _subscribe(self, channel: str) -> None:
        self._link.say(SubscribeWord(channel, self._rule_of(channel)))
        self._subscriptions.begin_anew(channel)

    @override
    async def _connect(self) -> None:
        self._link.start()
        await self._link.first_attempt()

    @override
    def _start_problem(self) -> str:
        return self._link.problem

    @override
    async def _disconnect(self) -> None:
        await self._link.stop()

    @override
    def _routines(self) -> Iterable[Routine]:
        return self._comparing(CHECK_SECONDS)

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        def published(told: PublishedWord) -> Position:
            position = Position(told.epoch, told.offset)
            if told.is_new and self._subscriptions.needs(channel, told.epoch, told.offset):
                publication = Publication.of(draft, told.offset)
                self._subscriptions.receive(channel, told.epoch, publication)
            return position

        try:
            message = message_of(draft)
        except UnicodeError as error:
            answer(no_text(error))
            return
        request = PublishWord(0, channel, self._rule_of(channel), message, draft.key)
        self._link.ask(request, _taking(PublishedWord, published, answer), message_size(draft))

    @override
    def _read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        bounds = span.limit, span.after, span.before
        request = ReadWord(0, channel, self._rule_of(channel), *bounds, span.retained)
        self._link.ask(request, _taking(HistoryWord, history_of, answer))

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        self._link.ask(TellWord(0, channel, words), done(answer), len(words))

    @override
    def erase(self, channel: str, answer: Answer[None]) -> None:
        self._link.ask(EraseWord(0, channel), done(answer))

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        self._link.ask(PutWord(0, key, value, seconds), done(answer), len(value))

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        self._link.ask(TakeWord(0, key), _taking(ValueWord, lambda told: told.value, answer))

    @override
    def secret(self, answer: Answer[bytes]) -> None:
        self._link.ask(SecretWord(0), _taking(ValueWord, lambda told: told.value or b"", answer))

    def _rule_of(self, channel: str) -> int:
        """Return the number by which the bounds of a channel are known there."""
        bounds = self._bounds.of(channel)
        number = self._rules.get(bounds)
        if number is None:
            number = self._rules[bounds] = len(self._rules)
            self._link.say(RuleWord(BoundsWord.of(bounds)))
        return number

    def _hear(self, word: EngineWord) -> None:
        if isinstance(word, LiveWord):
            self._receive(word)
        elif isinstance(word, NoticeWord):
            self._notices.receive_live(word)
        elif isinstance(word, ToldWord):
            self._subscriptions.hear(word.channel, word.words)
        elif isinstance(word, StaleWord):
            self._subscriptions.mark_stale(word.channel)
        elif isinstance(word, MissedWord):
            self._subscriptions.miss(word.channel)
        elif isinstance(word, UnheardWord):
            self._subscriptions.refuse(word.channel, word.error)

    def _receive(self, word: LiveWord) -> None:
        offset = word.stored.offset
        if self._subscriptions.needs(word.channel, word.epoch, offset):
            publication = publication_of(word.stored)
            self._subscriptions.receive(word.channel, word.epoch, publication)

    @override
    def listen(self, channel: str) -> None:
        self._heard[channel] = None
        if self._link.is_connected:  # else it is said to the next connection
            self._subscribe(channel)

    @override
    def leave(self, channel: str) -> None:
        del self._heard[channel]
        self._link.say(UnsubscribeWord(channel))

    @override
    def fetch(self, channel: str, span: Span, answer: Answer[History]) -> None:
        if span.limit and not self._link.state.is_available:
            answer(EngineError(AWAY))  # of many channels, each is asked for again and again
            return

        def have_read(history: History | EngineError) -> None:
            if isinstance(history, EngineError) and not self._link.state.is_available:
                self._subscriptions.refuse(channel, history)  # nobody waits for a store
            answer(history)

        self._read(channel, span, have_read)

    @override
    def compare(self, channels: list[str]) -> None:
        def have_asked(told: Answered | EngineError) -> None:
            if isinstance(told, PositionsWord):  # else the next round asks again
                for channel, at in zip(channels, told.positions, strict=True):
                    position = None if at is None else Position(at.epoch, at.offset)
                    self._subscriptions.take_position(channel, position)

        self._link.ask(ComparedWord(0, channels), have_asked)


T = TypeVar("T")


def _taking(
    kind: type[W], value_of: Callable[[W], T], answer: Answer[T]
) -> Callable[[Answered | EngineError], None]:
    """Return a callback that answers what is in an answer of this kind."""

    def take(told: Answered | EngineError) -> None:
        if isinstance(told, kind):
            answer(value_of(told))
        elif isinstance(told, EngineError):
            answer(told)
        else:
            answer(EngineError("the engine process answers what it was not asked"))

    return take
