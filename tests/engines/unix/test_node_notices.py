"""Notices at the engine process, by who keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from itemwire.engines.base import Answer, EngineError, Sink
from itemwire.engines.faults import FULL
from itemwire.engines.memory import MemoryEngine
from itemwire.engines.notices import NOT_KEPT, NoticeMark, NoticePage, NoticeStore, StoredNotice
from itemwire.engines.unix.node_notices import LoggedNotices, StoredNotices, notices_of
from itemwire.engines.unix.words import (
    KeptNoticeWord,
    NoticesWord,
    NoticeWord,
    ReadNoticesWord,
    RefusedWord,
    Word,
)
from tests.conformance.asked_engine import BOUNDS
from tests.engines.watched import play


class Store(MemoryEngine, NoticeStore):
    """An engine whose store keeps the notices, as one on a server has it."""

    mark = NOT_KEPT
    page: NoticePage | EngineError = NoticePage("e", 0, [])

    @property
    @override
    def notice_mark(self) -> NoticeMark:
        return self.mark

    @override
    def read_notices(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        answer(self.page)


@dataclass
class Told:
    """What all nodes were told, and what one was answered."""

    notices: list[NoticeWord] = field(default_factory=list)
    answers: list[Word] = field(default_factory=list)
    posted: list[EngineError | None] = field(default_factory=list)


def test_a_store_numbers_its_notices_itself() -> None:
    """So a node reads on where it was, though the process has ended meanwhile."""
    store, told = Store(BOUNDS), Told()
    notices = notices_of(store, told.notices.append)
    store.mark = NoticeMark("e", 4, 7)
    notices.apply(b"kept")
    store.mark = NOT_KEPT
    notices.apply(b"passing")

    assert isinstance(notices, StoredNotices)
    assert told.notices == [NoticeWord("e", 4, 7, b"kept"), NoticeWord("", 0, 0, b"passing")]


@pytest.mark.parametrize("until", [0, 2e9], ids=["passing", "kept"])
def test_what_is_posted_goes_to_the_store_alone(until: float) -> None:
    """It comes back from there to all nodes of all machines."""

    async def scene() -> None:
        store, told = Store(BOUNDS), Told()
        notices = notices_of(store, told.notices.append)
        arrived: list[bytes] = []
        await store.start(Sink(apply=arrived.append))
        notices.post(b"words", until, told.posted.append)

        assert (arrived, told.notices, told.posted) == ([b"words"], [], [None])

    play(scene)


def test_what_a_node_has_missed_is_asked_of_the_store() -> None:
    """With whether its time is over; and a refusal as it is."""
    store, told = Store(BOUNDS), Told()
    notices = notices_of(store, told.notices.append)
    kept = [StoredNotice(2, b"two", is_over=True), StoredNotice(3, b"three", is_over=False)]
    store.page = NoticePage("e", 9, kept, is_cut=True)
    notices.read(ReadNoticesWord(1, "e", 1), told.answers.append)
    store.page = EngineError("full", FULL)
    notices.read(ReadNoticesWord(2, "e", 9), told.answers.append)

    words = [KeptNoticeWord(2, b"two", is_over=True), KeptNoticeWord(3, b"three", is_over=False)]
    assert told.answers == [
        NoticesWord(1, "e", 9, words, is_cut=True),
        RefusedWord(2, "full", FULL.name),
    ]


def test_an_engine_of_one_process_has_its_notices_numbered_here() -> None:
    """Each names the one before it; one that nobody keeps has no number."""

    async def scene() -> None:
        engine, told = MemoryEngine(BOUNDS), Told()
        notices = notices_of(engine, told.notices.append)
        await engine.start(Sink(apply=notices.apply))
        for notice, until in [(b"one", 2e9), (b"passing", 0.0), (b"two", 2e9)]:
            notices.post(notice, until, told.posted.append)
        notices.read(ReadNoticesWord(1, "", 0), told.answers.append)

        assert isinstance(notices, LoggedNotices)
        assert [(one.previous, one.number, one.notice) for one in told.notices] == [
            (0, 1, b"one"),
            (0, 0, b"passing"),
            (1, 2, b"two"),
        ]
        assert told.posted == [None] * 3
        (page,) = told.answers
        assert isinstance(page, NoticesWord)
        assert [one.notice for one in page.notices] == [b"one", b"two"]

    play(scene)
