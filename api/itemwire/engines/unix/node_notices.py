"""Notices at the engine process: numbered here, or by a store that other machines share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from typing_extensions import override

from itemwire.engines.base import Answer, Engine, EngineError
from itemwire.engines.faults import FULL
from itemwire.engines.notices import NoticePage, NoticeStore
from itemwire.engines.unix.notice_log import NoticeLog
from itemwire.engines.unix.words import (
    PASSING,
    KeptNoticeWord,
    NoticesWord,
    NoticeWord,
    ReadNoticesWord,
    RefusedWord,
    Word,
)

TellAll = Callable[[NoticeWord], None]


class NodeNotices(ABC):
    """Carries notices to all nodes of this process, and tells again what a node has missed."""

    def __init__(self, engine: Engine, tell_all: TellAll) -> None:
        self._engine = engine
        self._tell_all = tell_all

    @abstractmethod
    def apply(self, notice: bytes) -> None:
        """Tell all nodes a notice that the engine has handed over."""
        ...

    @abstractmethod
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        """Carry a notice to every node."""
        ...

    @abstractmethod
    def read(self, asked: ReadNoticesWord, answer: Callable[[Word], None]) -> None:
        """Answer the notices that are kept."""
        ...


class LoggedNotices(NodeNotices):
    """Those of an engine of one process: all who post or hear are nodes of this process."""

    def __init__(self, engine: Engine, tell_all: TellAll) -> None:
        super().__init__(engine, tell_all)
        self._log = NoticeLog()
        self._posting: dict[bytes, float] = {}

    @override
    def apply(self, notice: bytes) -> None:
        """Keep it, too; one whose end is not known, from before, is kept."""
        number = self._log.add(notice, self._posting.get(notice, math.inf))
        self._tell_all(NoticeWord(self._log.epoch, number - 1, number, notice))

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        if until <= 0:  # nobody has to keep it
            self._tell_all(NoticeWord("", PASSING, PASSING, notice))
            answer(None)
        elif not self._log.has_room:
            answer(EngineError("there is no room for another notice", FULL))
        else:
            self._posting[notice] = until

            def posted(problem: EngineError | None) -> None:
                self._posting.pop(notice, None)
                answer(problem)

            self._engine.post(notice, until, posted)

    @override
    def read(self, asked: ReadNoticesWord, answer: Callable[[Word], None]) -> None:
        answer(self._log.page(asked.id, asked.epoch, asked.after))


class StoredNotices(NodeNotices):
    """Those of an engine on a server, which numbers and keeps them for all machines."""

    def __init__(self, engine: Engine, store: NoticeStore, tell_all: TellAll) -> None:
        super().__init__(engine, tell_all)
        self._store = store

    @override
    def apply(self, notice: bytes) -> None:
        self._tell_all(NoticeWord(*self._store.notice_mark, notice))

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._engine.post(notice, until, answer)

    @override
    def read(self, asked: ReadNoticesWord, answer: Callable[[Word], None]) -> None:
        def have_read(page: NoticePage | EngineError) -> None:
            if isinstance(page, EngineError):
                answer(RefusedWord.of(asked.id, page))
            else:
                kept = [KeptNoticeWord(*one) for one in page.notices]
                answer(NoticesWord(asked.id, page.epoch, page.last, kept, page.is_cut))

        self._store.read_notices(asked.epoch, asked.after, have_read)


def notices_of(engine: Engine, tell_all: TellAll) -> NodeNotices:
    """Return the notices of an engine, which an engine on a server has in its store."""
    if isinstance(engine, NoticeStore):
        return StoredNotices(engine, engine, tell_all)
    return LoggedNotices(engine, tell_all)
