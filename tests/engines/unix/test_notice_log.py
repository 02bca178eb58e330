"""The notices that the engine process keeps: numbered, in pages, for as long as they have to be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from itemwire.engines.notices import LEAST_SECONDS
from itemwire.engines.unix import notice_log
from itemwire.engines.unix.notice_log import NoticeLog
from itemwire.engines.unix.words import NoticesWord
from tests.fakes.values import Clock


@dataclass
class Kept:
    """A log, and its clock."""

    clock: Clock
    log: NoticeLog

    def texts(self, after: int = 0) -> list[tuple[bytes, bool]]:
        """List what a node that has read so far is told."""
        return [(one.notice, one.is_over) for one in self.page(after).notices]

    def page(self, after: int = 0) -> NoticesWord:
        """Read on."""
        return self.log.page(1, self.log.epoch, after)


@pytest.fixture
def kept() -> Kept:
    """Make an empty log."""
    clock = Clock()
    return Kept(clock, NoticeLog(clock))


def test_a_node_reads_what_it_does_not_have(kept: Kept) -> None:
    """By the number of the last one that it has applied."""
    until = kept.clock.now + 100
    numbers = [kept.log.add(text, until) for text in (b"a", b"b", b"c")]

    assert numbers == [1, 2, 3]
    assert kept.texts(after=1) == [(b"b", False), (b"c", False)]
    assert kept.texts(after=3) == []
    assert kept.page(3).last == 3


def test_a_node_of_another_epoch_reads_everything(kept: Kept) -> None:
    """Its number is that of a process which is gone."""
    kept.log.add(b"a", kept.clock.now + 100)
    told = kept.log.page(1, "another", 5)

    assert (told.epoch, told.last, [one.notice for one in told.notices]) == (
        kept.log.epoch,
        1,
        [b"a"],
    )


def test_one_that_is_over_is_kept_a_little_longer(kept: Kept) -> None:
    """For a node that is cut off at the moment; and then no more."""
    kept.log.add(b"over", kept.clock.now)
    kept.log.add(b"lasting", kept.clock.now + 2 * LEAST_SECONDS)
    at_once = kept.texts()
    kept.clock.now += LEAST_SECONDS + 1

    assert at_once == [(b"over", True), (b"lasting", False)]
    assert kept.texts() == [(b"lasting", False)]


def test_many_are_read_in_pages(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says whether more comes, and where to read on."""
    monkeypatch.setattr(notice_log, "PAGE", 2)
    for number in range(5):
        kept.log.add(str(number).encode(), kept.clock.now + 100)
    pages = [kept.page(after) for after in (0, 2, 4)]

    assert [(page.last, page.is_cut, len(page.notices)) for page in pages] == [
        (2, True, 2),
        (4, True, 2),
        (5, False, 1),
    ]


def test_what_has_ended_makes_room(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are kept than there is room for; numbers go on."""
    monkeypatch.setattr(notice_log, "MOST", 3)
    for number in range(3):
        kept.log.add(str(number).encode(), kept.clock.now)
    was_full = not kept.log.has_room
    kept.clock.now += LEAST_SECONDS + 1

    assert was_full
    assert kept.log.has_room
    assert kept.log.add(b"next", kept.clock.now + 1) == 4


def test_a_flood_of_passing_ones_is_swept_away(kept: Kept) -> None:
    """A log that is only added to must not grow for ever."""
    for _ in range(30):
        for _ in range(notice_log.SWEEP_AT):
            kept.log.add(b"x", kept.clock.now)
        kept.clock.now += LEAST_SECONDS + 1

    assert len(kept.log._kept) <= 2 * notice_log.SWEEP_AT
