"""The channels a node subscribes to: when they are read, and what waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from typing_extensions import override

from itemwire.engines import callbacks, subscriptions
from itemwire.engines.base import Answer, EngineError, History, Sink, Span
from itemwire.engines.subscriptions import ChannelSource, Subscriptions
from itemwire.messages import Position, Publication
from tests.conformance.asked_engine import WAIT_SECONDS, answer_of
from tests.fakes import CHANNEL, draft


class Written(ChannelSource):
    """A history that answers each read when it is told to."""

    def __init__(self) -> None:
        self.offset = 0
        self.channels: list[str] = []
        self.reads: list[tuple[str, Span, Answer[History]]] = []
        self.refusals: list[EngineError] = []
        self.compared: list[list[str]] = []
        self.asked = asyncio.Event()

    @override
    def listen(self, channel: str) -> None:
        self.channels.append(channel)

    @override
    def leave(self, channel: str) -> None:
        self.channels.remove(channel)

    @override
    def fetch(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self.reads.append((channel, span, answer))
        self.asked.set()

    @override
    def compare(self, channels: list[str]) -> None:
        self.compared.append(channels)

    @override
    def note_refusal(self, problem: EngineError) -> None:
        self.refusals.append(problem)

    def publish(self) -> Publication:
        """Store a message, and give what arrives of it."""
        self.offset += 1
        return publication(self.offset)

    def answer(self) -> None:
        """Answer the oldest read with what is there now."""
        _, span, answer = self.reads.pop(0)
        answer(self.history(span))

    def history(self, span: Span) -> History:
        """Read."""
        first = self.offset + 1 if span.after is None else span.after + 1
        found = [publication(offset) for offset in range(first, self.offset + 1)][: span.limit]
        return History(Position("e", self.offset), found, complete=True)

    def fail(self) -> None:
        """Answer the oldest read with an error."""
        self.reads.pop(0)[2](EngineError("away"))


class Scene:
    """A hearing of a source, and what it delivers."""

    def __init__(self) -> None:
        self.source = Written()
        self.log: list[int | str] = []
        self.subscriptions = Subscriptions(
            self.source,
            Sink(
                lambda _, news: self.log.append(news.offset),
                lose=lambda _, position: self.log.append(f"lost until {position.offset}"),
            ),
        )

    async def join(self) -> None:
        """Hear the channel from where it stands."""
        joining = asyncio.create_task(self.subscribe())
        await asyncio.sleep(0)
        self.subscriptions.mark_stale(CHANNEL)
        self.source.answer()
        await joining

    async def subscribe(self, channel: str = CHANNEL) -> None:
        """Hear a channel, once it is confirmed and read."""

        def ask(answer: Answer[None]) -> None:
            self.subscriptions.subscribe(channel, answer)

        await answer_of(ask)

    async def answer_after(self, history: History) -> None:
        """Wait until what was read may be answered."""

        def ask(answer: Answer[History]) -> None:
            self.subscriptions.answer_after(CHANNEL, history, answer)

        await answer_of(ask)

    async def until_read(self) -> None:
        """Wait until something is read."""
        while not self.source.reads:
            self.source.asked.clear()
            await asyncio.wait_for(self.source.asked.wait(), WAIT_SECONDS)


def publication(offset: int) -> Publication:
    """Make the message of an offset."""
    return Publication.of(draft(str(offset)), offset)


def play(scene: Callable[[Scene], Coroutine[object, object, None]]) -> None:
    """Play a scene."""

    async def played() -> None:
        await scene(Scene())

    asyncio.run(played())


def test_answers_a_subscription_once_it_is_known_where_it_begins() -> None:
    """Confirmed is not enough: what comes first must be what is after the position."""

    async def scene(it: Scene) -> None:
        answers: list[EngineError | None] = []
        it.source.publish()
        it.subscriptions.subscribe(CHANNEL, answers.append)
        it.subscriptions.subscribe(CHANNEL, answers.append)
        it.subscriptions.mark_stale(CHANNEL)
        it.subscriptions.receive(CHANNEL, "e", it.source.publish())
        assert answers == []
        it.source.answer()
        it.subscriptions.receive(CHANNEL, "e", it.source.publish())
        it.subscriptions.subscribe(CHANNEL, answers.append)

        assert answers == [None, None, None]
        assert it.log == [3]
        assert it.source.channels == [CHANNEL]

    play(scene)


def test_reads_what_does_not_come_by_itself() -> None:
    """After a moment, as it may only be late; what was late then comes once."""

    async def scene(it: Scene) -> None:
        await it.join()
        first, second = it.source.publish(), it.source.publish()
        it.subscriptions.receive(CHANNEL, "e", second)
        assert it.source.reads == []
        await it.until_read()
        it.source.answer()
        it.subscriptions.receive(CHANNEL, "e", first)

        assert it.log == [1, 2]

    play(scene)


def test_reads_nothing_when_the_late_one_comes() -> None:
    """Two ways bring messages in; the one is often faster than the other."""

    async def scene(it: Scene) -> None:
        await it.join()
        first, second = it.source.publish(), it.source.publish()
        it.subscriptions.receive(CHANNEL, "e", second)
        it.subscriptions.receive(CHANNEL, "e", first)
        await asyncio.sleep(subscriptions.HOLE_SECONDS * 2)  # nothing comes to wait for

        assert it.log == [1, 2]
        assert it.source.reads == []

    play(scene)


def test_reads_again_what_was_asked_for_while_it_was_read() -> None:
    """The answer may be older than the confirmation: what was sent in between is in neither."""

    async def scene(it: Scene) -> None:
        await it.join()
        it.subscriptions.mark_stale(CHANNEL)
        older = it.source.history(Span(9, after=0))
        it.source.publish()
        it.subscriptions.mark_stale(CHANNEL)
        it.source.reads.pop()[2](older)
        await it.until_read()
        it.source.answer()

        assert it.log == [1]

    play(scene)


def test_tries_again_when_a_read_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine may be away for long, and comes back by itself."""
    monkeypatch.setattr(subscriptions, "RETRY_SECONDS", 0.01)

    async def scene(it: Scene) -> None:
        await it.join()
        it.source.publish()
        it.subscriptions.mark_stale(CHANNEL)
        for _ in range(3):
            it.source.fail()
            await it.until_read()
        it.source.answer()

        assert it.log == [1]

    play(scene)


def test_reads_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of ten thousand channels at once would hold up every publish."""
    monkeypatch.setattr(subscriptions, "MAX_CHECKS", 3)

    async def scene(it: Scene) -> None:
        for number in range(10):
            it.subscriptions.subscribe(str(number), lambda _: None)
            it.subscriptions.mark_stale(str(number))
        seen = []
        for _ in range(10):
            await it.until_read()
            seen.append(len(it.source.reads))
            it.source.answer()
            await asyncio.sleep(0)
        it.subscriptions.compare_all()
        it.subscriptions.compare_all()

        assert max(seen) == 3
        assert len(it.source.reads) == 3

    play(scene)


@pytest.mark.parametrize(
    ("channels", "rounds", "calls", "at_once"),
    [
        (7, 6, 7, 1),
        (1001, 6, 11, 100),
        (20_000, 6, 60, 334),
        (20_000, 1, 10, 2000),
    ],
)
def test_compares_a_part_of_the_channels_at_a_time(
    channels: int, rounds: int, calls: int, at_once: int
) -> None:
    """All of twenty thousand in one moment held up every publish, again and again."""

    async def scene(it: Scene) -> None:
        names = [str(number) for number in range(channels)]
        for name in names:
            it.subscriptions.subscribe(name, lambda _: None)
        parts = []
        for _ in range(calls):
            it.subscriptions.compare_some(rounds, 100)
            parts.append(it.source.compared)
            it.source.compared = []

        assert [name for part in parts for batch in part for name in batch] == names
        assert max(sum(map(len, part)) for part in parts) == at_once
        assert max(len(batch) for part in parts for batch in part) <= subscriptions.BATCH

    play(scene)


def test_reads_the_channels_whose_position_is_further_or_not_known() -> None:
    """Nothing is read of those that are where they were."""

    async def scene(it: Scene) -> None:
        for name in "abcd":
            it.subscriptions.subscribe(name, lambda _: None)
            it.subscriptions.mark_stale(name)
            await it.until_read()
            it.source.answer()
        it.source.publish()
        it.subscriptions.take_position("a", Position("e", 0))
        it.subscriptions.take_position("b", Position("e", 1))
        it.subscriptions.take_position("c", Position("another", 0))
        it.subscriptions.take_position("d", None)
        it.subscriptions.take_position("left meanwhile", None)

        assert [channel for channel, _, _ in it.source.reads] == ["b", "c", "d"]

    play(scene)


def test_reads_what_is_behind_ahead_of_what_is_only_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A live message must not wait until ten thousand quiet channels are read; nor read twice."""
    monkeypatch.setattr(subscriptions, "MAX_CHECKS", 1)

    async def scene(it: Scene) -> None:
        for name in "abcd":
            it.subscriptions.subscribe(name, lambda _: None)
            it.subscriptions.mark_stale(name)
            it.source.answer()
            await asyncio.sleep(0)
        it.subscriptions.compare_all()
        for _ in range(3):
            it.subscriptions.mark_stale("d")
        seen = []
        for _ in range(3):
            seen.append(it.source.reads[0][0])
            it.source.answer()
            await asyncio.sleep(0)

        assert seen == ["a", "d", "b"]

    play(scene)


def test_answers_a_read_after_all_of_it_was_delivered() -> None:
    """Else what was read would be delivered once more, to a client that has it by then."""

    async def scene(it: Scene) -> None:
        await it.join()
        answers: list[object] = []
        news = it.source.publish()
        history = it.source.history(Span(9, after=0))
        it.subscriptions.answer_after(CHANNEL, history, answers.append)
        assert answers == []
        it.subscriptions.receive(CHANNEL, "e", news)
        assert answers == [history]
        it.source.publish()
        it.subscriptions.answer_after(CHANNEL, it.source.history(Span(9)), answers.append)
        await it.until_read()
        it.source.answer()

        assert it.log == [1, 2]
        assert len(answers) == 2

    play(scene)


def test_answers_a_read_at_once_where_nobody_hears() -> None:
    """Or where it is not known yet from where on."""

    async def scene(it: Scene) -> None:
        answers: list[object] = []
        history = it.source.history(Span(9))
        it.subscriptions.answer_after(CHANNEL, history, answers.append)
        it.subscriptions.subscribe(CHANNEL, lambda _: None)
        it.subscriptions.answer_after(CHANNEL, history, answers.append)

        assert answers == [history, history]

    play(scene)


def test_who_leaves_lets_nobody_wait() -> None:
    """Subscribers are told that it failed; who reads gets what was read."""

    async def scene(it: Scene) -> None:
        joined: list[object] = []
        read: list[object] = []
        it.subscriptions.subscribe("item:other", joined.append)
        await it.join()
        it.source.publish()
        history = it.source.history(Span(9, after=0))
        it.subscriptions.answer_after(CHANNEL, history, read.append)
        it.subscriptions.stop()
        it.subscriptions.unsubscribe(CHANNEL)

        assert [type(one) for one in joined] == [EngineError]
        assert read == [history]
        assert it.source.channels == []

    play(scene)


def test_nobody_waits_longer_than_an_answer_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """A confirmation, or what was read, may never come."""
    monkeypatch.setattr(callbacks, "ANSWER_SECONDS", 0.5)

    async def scene(it: Scene) -> None:
        with pytest.raises(EngineError, match="in time"):
            await it.subscribe("item:other")
        await it.join()
        it.source.publish()
        history = it.source.history(Span(9))
        with pytest.raises(EngineError, match="in time"):
            await it.answer_after(history)
        await it.until_read()
        it.source.answer()  # it comes too late, and is not a second answer

        assert it.log == [1]

    play(scene)
