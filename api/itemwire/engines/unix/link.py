"""A node's connection to the engine process: requests by number, one write a turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from typing_extensions import override

from itemwire.engines.base import EngineError, UnfitEngine
from itemwire.engines.callbacks import tell
from itemwire.engines.faults import INVALID
from itemwire.engines.networked import AWAY, NO_ANSWER, NO_ROOM
from itemwire.engines.tasks import ReconnectingLink, StillStarting
from itemwire.engines.unix.frames import WordProtocol
from itemwire.engines.unix.words import (
    VERSION,
    Answered,
    EngineWord,
    GreetingWord,
    NoEngineWord,
    NumberedWord,
    PingWord,
    RefusedWord,
    StateWord,
    WelcomeWord,
    Word,
    decode_engine_words,
    encode_word,
)

logger = logging.getLogger("itemwire.engines")

CONNECT_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.2
LATE_TURN: Final = 0.05  # for words that arrived while this process itself was held up
SILENT_SECONDS: Final = 1.3  # it is asked at each look
REQUEST_SECONDS: Final = 1.5  # with a look and a late turn still less than ANSWER_SECONDS

MAX_IN_FLIGHT_BYTES: Final = 64 * 1_048_576
REQUEST_BYTES: Final = 1000  # what a request costs beside its words

UNTOLD: Final = StateWord(is_available=True, fault=None, parts={}, most_bytes=None)
"""How the process's own engine is, until the process has said so."""

TakeAnswer = Callable[[Answered | EngineError], None]


def no_text(error: UnicodeError) -> EngineError:
    """Return what who asks with such a text is told."""
    return EngineError(f"this cannot be stored as text: {error}", INVALID)


class _Asked(NamedTuple):
    take: TakeAnswer
    deadline: float
    size: int
    word: bytes


class _NodeEnd(WordProtocol[EngineWord]):
    """The node's end of one connection."""

    def __init__(self, hear: Callable[[EngineWord], None]) -> None:
        super().__init__(decode_engine_words)
        self._hear = hear
        self.heard_at = self._loop.time()
        self.welcomed: asyncio.Future[WelcomeWord | NoEngineWord] = self._loop.create_future()
        self.ended: asyncio.Future[str] = self._loop.create_future()

    @override
    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        super().data_received(data)

    @override
    def receive(self, word: EngineWord) -> None:
        if self.welcomed.done():
            self._hear(word)
        elif isinstance(word, WelcomeWord | NoEngineWord):
            self.welcomed.set_result(word)
        else:
            raise ValueError("it was not greeted")

    @override
    def end(self, problem: str) -> None:
        if not self.welcomed.done():
            self.welcomed.cancel()
        if not self.ended.done():
            self.ended.set_result(problem)


class EngineLink(ReconnectingLink):
    """Keeps the connection open; what is asked while it is made anew waits for it."""

    def __init__(
        self,
        path: str,
        greeting: Callable[[], GreetingWord],
        opened: Callable[[], None],
        hear: Callable[[EngineWord], None],
    ) -> None:
        super().__init__("process")
        self._path = path
        self._greeting = greeting
        self._opened = opened
        self._hear_word = hear
        self._end: _NodeEnd | None = None
        self._asked: dict[int, _Asked] = {}  # the oldest first
        self._unsent: list[int] = []  # asked while there was no connection
        self._last_id = 0
        self._in_flight_bytes = 0
        self._expiry: asyncio.TimerHandle | None = None
        self.state = UNTOLD

    def ask(self, request: NumberedWord, take: TakeAnswer, size: int = 0) -> None:
        """Ask, and have the answer taken; refuse at once while the process is away."""
        if self.is_away:
            take(EngineError(f"{AWAY}: {self.problem}"))
            return
        if self._in_flight_bytes + size + REQUEST_BYTES > MAX_IN_FLIGHT_BYTES:
            take(EngineError(NO_ROOM))
            return
        self._last_id = request.id = self._last_id + 1
        try:
            word = encode_word(request)
        except UnicodeError as error:
            take(no_text(error))
            return
        loop = asyncio.get_running_loop()
        kept = b"" if self._is_open else word
        size += REQUEST_BYTES
        self._in_flight_bytes += size
        self._asked[request.id] = _Asked(take, loop.time() + REQUEST_SECONDS, size, kept)
        if self._is_open and self._end is not None:
            self._end.send_encoded(word)
        else:
            self._unsent.append(request.id)
        if self._expiry is None:
            self._expiry = loop.call_later(REQUEST_SECONDS, self._expire)

    def say(self, word: Word) -> None:
        """Say what needs no answer, if there is a connection: else it is said when there is one."""
        if self._is_open and self._end is not None:
            self._end.send(word)

    @property
    @override
    def _is_alive(self) -> bool:
        return self._end is not None and self._end.transport is not None

    @override
    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, end = await loop.create_unix_connection(self._make_end, self._path)
                end.send(self._greeting())
                await asyncio.wait([end.welcomed])
        except (OSError, TimeoutError) as error:
            raise StillStarting(str(error) or NO_ANSWER) from error
        if end.welcomed.cancelled():
            raise EngineError(end.ended.result())
        welcome = end.welcomed.result()
        if isinstance(welcome, NoEngineWord):
            raise (UnfitEngine if welcome.is_unfit else EngineError)(welcome.problem)
        if welcome.version != VERSION:
            raise EngineError("the engine process is of another version")

    def _make_end(self) -> _NodeEnd:
        self.state = UNTOLD  # it is said right after the welcome
        self._end = _NodeEnd(self._hear)
        return self._end

    @override
    async def _serve(self) -> str:
        end = self._end
        if end is None:
            return self.problem
        unsent, self._unsent = self._unsent, []
        self._opened()
        for id_ in unsent:
            if id_ in self._asked:
                end.send_encoded(self._asked[id_].word)
        while not end.ended.done():
            end.send(PingWord())
            await asyncio.wait([end.ended], timeout=LOOK_SECONDS)
            if not end.ended.done() and self._is_silent(end):
                await asyncio.sleep(LATE_TURN)
                if self._is_silent(end):
                    return NO_ANSWER
        return end.ended.result()

    def _is_silent(self, end: _NodeEnd) -> bool:
        return asyncio.get_running_loop().time() - end.heard_at > SILENT_SECONDS

    @override
    async def _close(self, problem: str) -> None:
        end, self._end = self._end, None
        if end is not None:
            end.break_off(problem)
        self._unsent.clear()  # what waits for a connection is refused when none can be made
        for id_ in list(self._asked):
            self._settle(id_, EngineError(f"the answer was lost: {problem}"))

    def _hear(self, word: EngineWord) -> None:
        if isinstance(word, NumberedWord):
            self._settle(word.id, word.error if isinstance(word, RefusedWord) else word)
        elif isinstance(word, StateWord):
            self.state = word
        else:
            try:
                self._hear_word(word)
            except Exception:
                # What a subscriber's code throws must not cost all others their messages.
                logger.exception("delivery_failed")

    def _settle(self, id_: int, answer: Answered | EngineError) -> None:
        asked = self._asked.pop(id_, None)  # none: it has waited for too long
        if asked is not None:
            self._in_flight_bytes -= asked.size
            tell(asked.take, answer)

    def _expire(self) -> None:
        """Refuse what has waited for too long."""
        self._expiry = None
        loop = asyncio.get_running_loop()
        while self._asked:
            id_, asked = next(iter(self._asked.items()))
            if asked.deadline > loop.time():
                self._expiry = loop.call_at(asked.deadline, self._expire)
                return
            self._settle(id_, EngineError(NO_ANSWER))
