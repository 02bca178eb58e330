"""The reader of notices: what it applies, in which order, and when it reads again."""

from __future__ import annotations

import asyncio

import pytest
from typing_extensions import override

from itemwire.engines import notices
from itemwire.engines.base import Answer, EngineError
from itemwire.engines.faults import AWAY, UNKNOWN, EngineFault
from itemwire.engines.notices import (
    NOT_KEPT,
    NoticeMark,
    NoticePage,
    NoticeReader,
    StoredNotice,
)


class Reader(NoticeReader):
    """A reader whose reads are answered when the test says so."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.reads: list[tuple[str, int, Answer[NoticePage]]] = []
        super().__init__(self.log.append)
        self.check()

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        """Nothing is posted here."""

    @override
    def _read_page(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        self.reads.append((epoch, after, answer))

    def answer(
        self,
        *found: tuple[int, str],
        last: int,
        epoch: str = "e",
        over: tuple[int, ...] = (),
        is_cut: bool = False,
    ) -> tuple[str, int]:
        """Answer the oldest read; return what it asked for."""
        asked_epoch, after, answer = self.reads.pop(0)
        stored = [StoredNotice(number, text.encode(), number in over) for number, text in found]
        answer(NoticePage(epoch, last, stored, is_cut))
        return asked_epoch, after

    def fail(self, fault: EngineFault = AWAY) -> None:
        """Answer the oldest read with an error."""
        self.reads.pop(0)[2](EngineError("away", fault))

    def live(self, number: int, text: str, epoch: str = "e") -> None:
        """Let the next number arrive as a live notice."""
        self.receive(epoch, number - 1, number, text.encode())


def test_applies_what_is_kept_and_leaves_out_what_is_over() -> None:
    """Notices that are over are for nodes that were cut off, not for one that starts."""
    reader = Reader()
    reader.answer((9, "a"), (10, "over"), (12, "b"), last=12, over=(10,))

    assert reader.log == [b"a", b"b"]
    assert reader.reads == []


def test_applies_the_next_once_and_reads_what_is_missing() -> None:
    """A notice may arrive twice; a hole is read, with what is over by now."""
    reader = Reader()
    reader.answer(last=5)
    reader.live(6, "six")
    reader.live(6, "six")
    reader.live(9, "nine")
    asked = reader.answer((7, "seven"), (8, "eight"), (9, "nine"), last=9, over=(8,))
    reader.live(9, "nine")

    assert asked == ("e", 6)
    assert reader.log == [b"six", b"seven", b"eight", b"nine"]
    assert reader.reads == []


def test_follows_a_notice_whose_number_is_not_the_next() -> None:
    """Some stores leave numbers out: what counts is which one it follows."""
    reader = Reader()
    reader.answer(last=5)
    reader.receive("e", 5, 8, b"eight")

    assert reader.log == [b"eight"]
    assert reader.reads == []


def test_reads_again_what_arrived_during_a_read() -> None:
    """The answer may be older than what arrived; two reads at once are never needed."""
    reader = Reader()
    reader.answer(last=5)
    reader.check()
    reader.live(7, "seven")
    reader.check()
    assert len(reader.reads) == 1
    reader.answer((6, "six"), last=6)
    asked = reader.answer((7, "seven"), last=7)

    assert asked == ("e", 6)
    assert reader.log == [b"six", b"seven"]
    assert reader.reads == []


def test_applies_nothing_twice_that_arrived_live_during_a_read() -> None:
    """The read finds it too."""
    reader = Reader()
    reader.answer(last=5)
    reader.check()
    reader.live(6, "six")
    reader.answer((6, "six"), (7, "seven"), last=7)

    assert reader.log == [b"six", b"seven"]


def test_applies_all_of_another_epoch() -> None:
    """The count has begun anew: a number that was applied may be another notice now."""
    reader = Reader()
    reader.answer((1, "a"), (2, "b"), last=2)
    reader.live(2, "new", epoch="f")
    reader.answer((1, "a"), (2, "new"), last=2, epoch="f", over=(1,))
    reader.live(3, "next", epoch="f")

    assert reader.log == [b"a", b"b", b"a", b"new", b"next"]


def test_reads_on_where_an_answer_was_cut() -> None:
    """It is synced when the last part has been applied, and not before."""

    async def scene() -> tuple[Reader, bool]:
        reader = Reader()
        synced = asyncio.create_task(reader.synced())
        await asyncio.sleep(0)
        reader.answer((1, "a"), (2, "over"), last=2, over=(2,), is_cut=True)
        await asyncio.sleep(0)
        was_synced = synced.done()
        asked = reader.answer((3, "over"), (4, "b"), last=4, over=(3,))
        await synced
        assert asked == ("e", 2)
        return reader, was_synced

    reader, was_synced = asyncio.run(scene())

    assert not was_synced
    assert reader.log == [b"a", b"b"]


def test_is_synced_after_the_first_read_and_at_once_from_then_on() -> None:
    """A start waits for it, whichever of the two comes first."""

    async def scene() -> Reader:
        reader = Reader()
        reader.answer((1, "a"), last=1)
        await reader.synced()
        return reader

    assert asyncio.run(scene()).log == [b"a"]


def test_says_that_it_could_not_be_synced() -> None:
    """A node that may not know who was revoked must not serve."""

    async def scene() -> None:
        reader = Reader()
        synced = asyncio.create_task(reader.synced())
        await asyncio.sleep(0)
        reader.fail()
        reader.stop()
        with pytest.raises(EngineError, match="away"):
            await synced

    asyncio.run(scene())


def test_is_synced_by_a_read_that_follows_one_without_a_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stream that nobody leads at the moment answers nobody: a node that starts asks again."""
    monkeypatch.setattr(notices, "RETRY_SECONDS", 0)

    async def scene() -> Reader:
        reader = Reader()
        synced = asyncio.create_task(reader.synced())
        await asyncio.sleep(0)
        reader.fail(UNKNOWN)
        assert reader.problem == "away"
        await asyncio.sleep(0.01)  # its timer is real
        reader.answer((1, "a"), last=1)
        await synced
        return reader

    assert asyncio.run(scene()).log == [b"a"]


def test_reads_again_when_a_read_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has applied is still known; a reader that was stopped reads no more."""
    monkeypatch.setattr(notices, "RETRY_SECONDS", 0)

    async def scene() -> Reader:
        reader = Reader()
        reader.answer(last=5)
        reader.check()
        reader.fail()
        await asyncio.sleep(0.01)  # its timer is real
        assert reader.answer((6, "six"), last=6) == ("e", 5)
        reader.check()
        reader.stop()
        reader.fail()
        reader.check()
        await asyncio.sleep(0.01)
        return reader

    reader = asyncio.run(scene())

    assert reader.log == [b"six"]
    assert reader.reads == []


def test_retries_with_one_timer_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long outage everyone who checks would leave another timer behind."""
    monkeypatch.setattr(notices, "RETRY_SECONDS", 0)

    async def scene() -> int:
        reader = Reader()
        for _ in range(10):
            reader.fail()
            reader.check()
        reader.fail()
        await asyncio.sleep(0.01)  # its timer is real
        return len(reader.reads)

    assert asyncio.run(scene()) == 1


def test_applies_the_others_though_the_receiver_throws(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its fault is logged, and no other notice is missed for it."""
    applied: list[bytes] = []

    def apply(notice: bytes) -> None:
        applied.append(notice)
        if notice == b"bad":
            raise ZeroDivisionError

    reader = Reader()
    monkeypatch.setattr(reader, "_apply", apply)
    reader.answer((1, "bad"), (2, "good"), last=2)
    reader.live(3, "bad")
    reader.live(4, "good")

    assert applied == [b"bad", b"good"] * 2
    assert caplog.text.count("delivery_failed") == 2


def test_says_which_notice_it_hands_on_and_what_came_before_it() -> None:
    """Who passes it on to others can say so, and they see what they have missed."""
    marks: list[tuple[bytes, NoticeMark]] = []

    class Marked(Reader):
        @override
        def _hand_on(self, notice: bytes, mark: NoticeMark = NOT_KEPT) -> None:
            super()._hand_on(notice, mark)
            marks.append((notice, self.mark))

    reader = Marked()
    reader.answer((3, "three"), (5, "five"), last=6)
    reader.live(7, "seven")
    reader._hand_on(b"passing")
    reader.live(9, "nine")
    reader.answer((8, "eight"), (9, "nine"), last=9)
    reader.check()
    reader.answer((1, "one"), last=1, epoch="f")

    assert marks == [
        (b"three", NoticeMark("e", 0, 3)),
        (b"five", NoticeMark("e", 3, 5)),
        (b"seven", NoticeMark("e", 6, 7)),
        (b"passing", NOT_KEPT),
        (b"eight", NoticeMark("e", 7, 8)),
        (b"nine", NoticeMark("e", 8, 9)),
        (b"one", NoticeMark("f", 0, 1)),
    ]
