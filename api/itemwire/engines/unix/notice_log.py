"""The notices that the engine process keeps for its nodes, with their numbers."""

from __future__ import annotations

import secrets
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Final, NamedTuple

from itemwire.engines.notices import LEAST_SECONDS
from itemwire.engines.unix.words import KeptNoticeWord, NoticesWord

PAGE: Final = 1000
MOST: Final = 200_000
SWEEP_AT: Final = 1000  # beyond twice as many as were left by the last sweep


class _Entry(NamedTuple):
    number: int
    notice: bytes
    until: float
    kept_until: float


class NoticeLog:
    """Numbers notices from 1, within an epoch that is this log's alone."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.epoch: Final = secrets.token_urlsafe(6)
        self._clock = clock
        self._last = 0
        self._kept: list[_Entry] = []
        self._sweep_at = SWEEP_AT

    @property
    def has_room(self) -> bool:
        """Return whether another notice may be kept."""
        if len(self._kept) >= MOST:
            self._sweep()
        return len(self._kept) < MOST

    def add(self, notice: bytes, until: float) -> int:
        """Keep a notice until then, and for nodes that are cut off a little longer."""
        if len(self._kept) >= self._sweep_at:
            self._sweep()
        self._last += 1
        kept_until = max(until, self._clock() + LEAST_SECONDS)
        self._kept.append(_Entry(self._last, notice, until, kept_until))
        return self._last

    def page(self, id_: int, epoch: str, after: int) -> NoticesWord:
        """Answer what comes after a number; of another epoch, everything that is kept."""
        after = after if epoch == self.epoch else 0
        begin = bisect_right(self._kept, after, key=lambda one: one.number)
        now = self._clock()
        found = self._kept[begin : begin + PAGE]
        is_cut = begin + PAGE < len(self._kept)
        notices = [
            KeptNoticeWord(one.number, one.notice, one.until <= now)
            for one in found
            if one.kept_until > now
        ]
        last = found[-1].number if is_cut else self._last
        return NoticesWord(id_, self.epoch, last, notices, is_cut)

    def _sweep(self) -> None:
        now = self._clock()
        self._kept = [one for one in self._kept if one.kept_until > now]
        self._sweep_at = 2 * len(self._kept) + SWEEP_AT
