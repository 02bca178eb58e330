"""Notices between nodes: applied in the order of their numbers, read again if in doubt.

A notice must not be missed: one of them may say that a token was revoked. Live notices may be
lost on their way, so a store numbers them and keeps them for a while, and a node that sees a hole,
or was cut off, reads on from the last number it has applied.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from itemwire.engines.base import Answer, Apply, EngineError
from itemwire.engines.callbacks import answer_to, when_done
from itemwire.engines.faults import SILENT, UNKNOWN

logger = logging.getLogger("itemwire.engines")

RETRY_SECONDS: Final = 0.5
PASSING: Final = (UNKNOWN, SILENT)  # faults that say nothing about the next read
LEAST_SECONDS: Final = 60  # every notice is kept this long, for nodes that are cut off just now


class StoredNotice(NamedTuple):
    """A notice as a store keeps it.

    `is_over` says that its time has passed: it is only kept for nodes that were cut off.
    """

    number: int
    notice: bytes
    is_over: bool


class NoticePage(NamedTuple):
    """Notices in ascending order, and the number up to which the store has been read.

    Numbers count within an epoch: one that the reader does not know means that the store was lost
    or replaced. `is_cut` says that there is more to read.
    """

    epoch: str
    last: int
    notices: Sequence[StoredNotice]
    is_cut: bool = False


class NoticeMark(NamedTuple):
    """The number of a notice in its epoch, and up to which number all was handed on before it."""

    epoch: str
    previous: int
    number: int


NOT_KEPT: Final = NoticeMark("", 0, 0)
"""The mark of a notice that is only passed on, or that has no number of its own."""


class NoticeStore(ABC):
    """An engine that several processes share: its store keeps the notices, and can be asked."""

    @property
    @abstractmethod
    def notice_mark(self) -> NoticeMark:
        """Return which notice it is that `Sink.apply` is given just now."""
        ...

    @abstractmethod
    def read_notices(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        """Answer what comes after a number of an epoch; everything, if the epoch is another now."""
        ...


class NoticeReader(ABC):
    """Applies each notice in order; after a doubt some may be applied twice, none is missed.

    A subclass knows one store: how to post, and how to read what comes after a number.
    """

    def __init__(self, apply: Apply) -> None:
        self._apply = apply
        self.on_refusal: Callable[[EngineError], None] = _ignore
        self._epoch = ""  # no store has an epoch of this name
        self._number = 0  # everything up to it was applied
        self._is_reading = False
        self._is_stale = False  # something was missed since the read that is under way was begun
        self._is_synced = False
        self.problem = ""  # of the last read, as long as none has succeeded
        self._is_stopped = False
        self._retry: asyncio.TimerHandle | None = None
        self._waiting: list[Answer[None]] = []
        self.mark = NOT_KEPT  # of the notice that is handed on

    @abstractmethod
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        """Store a notice and send it to all nodes; with `until` 0, only send it."""
        ...

    @abstractmethod
    def _read_page(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        """Read what comes after a number of an epoch; everything, if the epoch is another now."""
        ...

    async def synced(self) -> None:
        """Wait until the notices that are kept have been applied; EngineError if that is refused.

        A read that failed for once is repeated meanwhile; `problem` says why.
        """
        if self._is_synced:
            return
        answered: asyncio.Future[EngineError | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer_to(answered))
        problem = await answered
        if problem is not None:
            raise problem

    def stop(self) -> None:
        """Read no more."""
        self._is_stopped = True
        if self._retry is not None:
            self._retry.cancel()

    def receive(self, epoch: str, previous: int, number: int, notice: bytes) -> None:
        """Take a live notice, which follows the one numbered `previous`."""
        if epoch != self._epoch or previous > self._number:
            self.check()
        elif number > self._number:
            mark = NoticeMark(epoch, self._number, number)
            self._number = number
            self._hand_on(notice, mark)

    def check(self) -> None:
        """Read what may have been missed."""
        self._is_stale = True
        # A read that is under way may have looked before the notice in question was stored.
        if not self._is_reading and not self._is_stopped:
            self._read_on()

    def try_reading(self, answer: Answer[None]) -> None:
        """Answer whether notices can be read; what is found is left for the next read."""
        self._read_page(self._epoch, self._number, when_done(answer))

    def read(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        """Answer notices to somebody else, who keeps a count of its own."""
        self._read_page(epoch, after, answer)

    def _read_on(self) -> None:
        self._is_stale, self._is_reading = False, True
        self._read_page(self._epoch, self._number, self._take_page)

    def _take_page(self, page: NoticePage | EngineError) -> None:
        self._is_reading = False
        if isinstance(page, EngineError):
            self._retry_later()
            self.problem = str(page)
            if page.fault not in PASSING:
                self._answer_waiting(page)
            self.on_refusal(page)
            return
        self._apply_page(page)
        if page.is_cut:
            self._read_on()
            return
        self._is_synced = True
        self._answer_waiting(None)
        if self._is_stale:
            self.check()

    def _apply_page(self, page: NoticePage) -> None:
        if page.epoch != self._epoch:
            # The count has begun anew: the same numbers may stand for other notices.
            self._epoch, self._number = page.epoch, 0
        previous = self._number
        for one in page.notices:
            # A node that has just started has nothing that an ended notice could take away.
            if one.number > self._number and (self._is_synced or not one.is_over):
                self._hand_on(one.notice, NoticeMark(page.epoch, previous, one.number))
                previous = one.number
        self._number = max(self._number, page.last)

    def _hand_on(self, notice: bytes, mark: NoticeMark = NOT_KEPT) -> None:
        self.mark = mark
        try:
            self._apply(notice)
        except Exception:
            # A fault of the receiver must not keep the next notices from being applied.
            logger.exception("delivery_failed")

    def _answer_waiting(self, problem: EngineError | None) -> None:
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer(problem)

    def _retry_later(self) -> None:
        if self._retry is None and not self._is_stopped:
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self.check()


def _ignore(_problem: EngineError) -> None:
    """Leave it: the read is repeated."""
