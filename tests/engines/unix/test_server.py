"""What the engine process does with its nodes: who does not fit goes, and costs nobody anything."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from typing_extensions import override

from itemwire.engines.base import Answer, Bounds, EngineError
from itemwire.engines.memory import MemoryEngine
from itemwire.engines.unix import served_node
from itemwire.engines.unix.engine import UnixEngine
from itemwire.engines.unix.words import (
    VERSION,
    DoneWord,
    GreetingWord,
    LiveWord,
    MessageWord,
    NoticeWord,
    PingWord,
    PostWord,
    PublishedWord,
    PublishWord,
    ReadWord,
    RefusedWord,
    StaleWord,
    StateWord,
    SubscribeWord,
    TakeWord,
    UnsubscribeWord,
    ValueWord,
    WelcomeWord,
    Word,
)
from itemwire.messages import Draft, Position, Publication
from tests.engines.unix.scenes import GREETING, RULE, RawNode, raw_node, serving
from tests.engines.watched import BOUNDS, node, play
from tests.fakes import CHANNEL

pytestmark = pytest.mark.server

MESSAGE = MessageWord("42", "alice", 1.5, 0, b"hello", None, end=False)
LAST = 999  # the number of a request that shows that all before it are done
PUBLISH = PublishWord(1, CHANNEL, 0, MESSAGE, None)

HOSTILE: dict[str, list[Word] | bytes] = {
    "no-greeting": [PingWord()],
    "no-rule": [GREETING, PUBLISH],
    "no-such-rule": [GREETING, RULE, PublishWord(1, CHANNEL, 1, MESSAGE, None)],
    "rule-below-none": [GREETING, RULE, PublishWord(1, CHANNEL, -1, MESSAGE, None)],
    "no-text": [
        GREETING,
        RULE,
        PublishWord(1, CHANNEL, 0, MessageWord("42", None, 1.5, 0, b"\xff", None, end=False), None),
    ],
    "long-name": [GREETING, RULE, SubscribeWord("x" * 5000, 0)],
    "below-nothing": [GREETING, RULE, ReadWord(1, CHANNEL, 0, -1, None, None, retained=False)],
    "an-answer": [GREETING, WelcomeWord(VERSION), PublishedWord(1, "e", 1, is_new=True)],
    "many-rules": [GREETING, *[RULE] * 11],
    "garbage": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 8,
    "too-large": b"\xff\xff\xff\xff",
    "no-words": b"\x00\x00\x00\x01\xc1",
    "no-list": b"\x00\x00\x00\x01\x01",
    "nothing": b"\x00\x00\x00\x00",
    "unknown-word": b"\x00\x00\x00\x03\x91\x91\x63",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_node_that_does_not_fit_is_cut_off_and_no_other_notices(
    hostile: list[Word] | bytes,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever comes to the socket: it is read as a stranger is."""
    monkeypatch.setattr(served_node, "MOST_RULES", 10)

    async def scene() -> None:
        async with (
            serving(tmp_path),
            node(f"itemwire+unix://{tmp_path}/engine.sock") as one,
            raw_node(tmp_path) as stranger,
        ):
            await one.publish("before")
            if isinstance(hostile, bytes):
                stranger.writer.write(hostile)
                if hostile.startswith(b"GET"):  # its frame would be long: it is over with it
                    stranger.writer.write_eof()
            else:
                stranger.say(*hostile)
            heard = await stranger.end()
            await one.publish("after")

            assert not any(isinstance(word, PublishedWord) for word in heard)
            assert one.texts == ["before", "after"]
            assert one.engine.is_available

    play(scene)

    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_a_node_that_fits_is_served(tmp_path: Path) -> None:
    """The same words, in order: what the table leaves out."""

    async def scene() -> None:
        async with serving(tmp_path), raw_node(tmp_path) as one:
            heard = await told(one, GREETING, RULE, SubscribeWord(CHANNEL, 0), PUBLISH)

            assert [type(word) for word in heard] == [WelcomeWord, PublishedWord]
            (published,) = [word for word in heard if isinstance(word, PublishedWord)]
            assert (published.id, published.offset, published.is_new) == (1, 1, True)

    play(scene)


def test_a_node_of_another_version_is_told_so_and_nothing_else(tmp_path: Path) -> None:
    """After an update in place, the old workers and the new process do not mix."""

    async def scene() -> None:
        async with serving(tmp_path), raw_node(tmp_path) as one:
            one.say(GreetingWord(VERSION + 1, GREETING.largest))
            welcome = await one.hear()
            one.say(PingWord())

            assert welcome == [WelcomeWord(VERSION)]
            assert await one.hear() == []

    play(scene)


async def told(one: RawNode, *words: Word) -> list[Word]:
    """Say words, and give all that is said until they are done, but for the engine's state."""
    one.say(*words, TakeWord(LAST, "nothing"))
    heard: list[Word] = []
    while ValueWord(LAST, None) not in heard:
        heard += await one.hear()
    return [word for word in heard if word != ValueWord(LAST, None) and type(word) is not StateWord]


def test_a_message_is_told_once_to_each_that_subscribes(tmp_path: Path) -> None:
    """Its publisher has it by the answer, a retry is told to nobody, and who has left is not."""

    async def scene() -> None:
        async with (
            serving(tmp_path) as server,
            raw_node(tmp_path) as one,
            raw_node(tmp_path) as other,
        ):
            await told(other, GREETING, RULE, SubscribeWord(CHANNEL, 0))
            await told(one, GREETING, RULE, SubscribeWord(CHANNEL, 0))
            first = await told(one, PublishWord(1, CHANNEL, 0, MESSAGE, "key"))
            again = await told(one, PublishWord(2, CHANNEL, 0, MESSAGE, "key"))
            heard = await told(other)
            after = await told(other, UnsubscribeWord(CHANNEL), UnsubscribeWord(CHANNEL))
            await told(one, PUBLISH)

            epoch = first[0].epoch if isinstance(first[0], PublishedWord) else ""
            assert first == [PublishedWord(1, epoch, 1, is_new=True)]
            assert again == [PublishedWord(2, epoch, 1, is_new=False)]
            assert [type(word) for word in heard] == [LiveWord]
            assert after + await told(other) == []
            assert server._channels.find(CHANNEL) is not None
        await asyncio.wait_for(server.all_gone.wait(), 5)
        assert len(server._channels) == 0  # they go with their nodes

    play(scene)


def test_a_notice_is_told_to_all_and_kept_if_it_has_to_be(tmp_path: Path) -> None:
    """One that is not kept has no number: no node looks for it."""

    async def scene() -> None:
        async with serving(tmp_path), raw_node(tmp_path) as one, raw_node(tmp_path) as other:
            await told(other, GREETING)
            answers = await told(
                one, GREETING, PostWord(1, b"passing", 0), PostWord(2, b"kept", 2e9)
            )
            heard = [word for word in await told(other) if isinstance(word, NoticeWord)]

            assert [word for word in answers if isinstance(word, DoneWord)] == [
                DoneWord(1),
                DoneWord(2),
            ]
            assert [(word.notice, word.number) for word in heard] == [(b"passing", 0), (b"kept", 1)]

    play(scene)


class SlowToAnswer(MemoryEngine):
    """An engine that has refused a publish by the time it stores it, as a slow disk does."""

    answers_at_once = False

    @override
    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        answer(EngineError("not in time"))
        self._deliver(channel, Publication.of(draft, 1))


def test_a_message_that_was_refused_and_stored_all_the_same_is_read(tmp_path: Path) -> None:
    """Nobody says its epoch, so whoever subscribes is told to read."""

    async def scene() -> None:
        engine = SlowToAnswer(Bounds(9, 9999, 9))
        async with serving(tmp_path, engine), raw_node(tmp_path) as one:
            channels = [CHANNEL, "item:other"]
            words = [PublishWord(1, channel, 0, MESSAGE, None) for channel in channels]
            await told(one, GREETING, RULE, *(SubscribeWord(channel, 0) for channel in channels))
            heard = await told(one, *words) + await told(one)
            stale = [word.channel for word in heard if isinstance(word, StaleWord)]

            assert sum(isinstance(word, RefusedWord) for word in heard) == 2
            assert stale == channels

    play(scene)


def test_a_node_that_takes_nothing_is_cut_off_and_comes_back_with_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It must not fill the memory of the process that all need."""
    monkeypatch.setattr(served_node, "MOST_UNSENT", 1 << 20)
    few = Bounds(messages=5, bytes=10_000_000, seconds=300)

    async def scene() -> None:
        url = f"itemwire+unix://{tmp_path}/engine.sock"
        async with serving(tmp_path), node(url, few) as one, node(url, few) as stuck:
            assert isinstance(stuck.engine, UnixEngine)
            end = stuck.engine._link._end
            assert end is not None
            assert end.transport is not None
            end.transport.pause_reading()
            while "node_cut_off" not in caplog.text:
                await one.publish(f"{len(one.texts)} " + "x" * 100_000)
            last = one.texts[-1]
            await stuck.until(lambda: stuck.texts[-1:] == [last])

            assert len(one.texts) < 200
            assert one.losses == []
            assert [loss.offset for loss in stuck.losses] == [len(one.texts) - 5]
            one.check()
            stuck.check()

    play(scene)


def test_more_than_a_node_may_let_wait_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stands still must not fill its workers (requirement 117)."""
    monkeypatch.setattr("itemwire.engines.unix.link.MAX_IN_FLIGHT_BYTES", 100_000)

    async def scene() -> None:
        async with serving(tmp_path), node(f"itemwire+unix://{tmp_path}/engine.sock") as one:
            asked = [one.publish(f"{number}".zfill(1000)) for number in range(200)]
            done = await asyncio.gather(*asked, return_exceptions=True)
            refused = [one for one in done if isinstance(one, EngineError)]

            assert 100 < len(refused) < 200
            assert {str(error) for error in refused} == {
                "more waits for the engine than there is room for"
            }
            assert len(one.texts) == 200 - len(refused)

    play(scene)


def test_bounds_are_those_of_the_node_that_asks(tmp_path: Path) -> None:
    """The process knows no rules of its own."""

    async def scene() -> None:
        url = f"itemwire+unix://{tmp_path}/engine.sock"
        async with serving(tmp_path), node(url, BOUNDS) as one:
            for number in range(10):
                await one.publish(str(number))
            async with node(url, Bounds(messages=3, bytes=9999, seconds=300)) as other:
                few = await other.read()

            assert [each.data for each in few.publications] == ["7", "8", "9"]

    play(scene)
