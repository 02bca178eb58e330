"""Notices by way of the engine process, which numbers them."""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from itemwire.engines.base import Answer, Apply, EngineError
from itemwire.engines.notices import NoticePage, NoticeReader, StoredNotice
from itemwire.engines.unix.link import EngineLink
from itemwire.engines.unix.words import (
    PASSING,
    Answered,
    NoticesWord,
    NoticeWord,
    PostWord,
    ReadNoticesWord,
)


class UnixNotices(NoticeReader):
    """The notices of the engine process that a link leads to."""

    def __init__(self, link: EngineLink, apply: Apply) -> None:
        super().__init__(apply)
        self._link = link

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self._link.ask(PostWord(0, notice, until), done(answer), len(notice))

    def receive_live(self, told: NoticeWord) -> None:
        """Take a notice that was posted a moment ago."""
        if told.number == PASSING:
            self._hand_on(told.notice)
        else:
            self.receive(told.epoch, told.previous, told.number, told.notice)

    @override
    def _read_page(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        def have_read(told: Answered | EngineError) -> None:
            answer(told if isinstance(told, EngineError) else _page_of(told))

        self._link.ask(ReadNoticesWord(0, epoch, after), have_read)


def done(answer: Answer[None]) -> Callable[[Answered | EngineError], None]:
    """Return a callback that answers None for any answer, and passes an error on."""
    return lambda told: answer(told if isinstance(told, EngineError) else None)


def _page_of(told: Answered) -> NoticePage | EngineError:
    if not isinstance(told, NoticesWord):
        return EngineError("the engine process answers what it was not asked")
    notices = [StoredNotice(one.number, one.notice, one.is_over) for one in told.notices]
    return NoticePage(told.epoch, told.last, notices, told.is_cut)
