"""Notices through Redis: what is read again, and what was heard already."""

from __future__ import annotations

import asyncio

import pytest
from typing_extensions import override

from itemwire.engines.base import EngineError
from itemwire.engines.redis import notices as redis_notices
from itemwire.engines.redis.notices import RedisNotices
from itemwire.engines.redis.requests import RedisCall
from itemwire.engines.redis.servers import RedisServers, RedisTarget


class Written(RedisServers):
    """Servers that answer when they are told to."""

    def __init__(self) -> None:
        super().__init__(RedisTarget.of("redis://nowhere"), lambda _: None)
        self.calls: list[RedisCall] = []

    @override
    def hear(self, name: str) -> None:
        """Nothing comes of it here."""

    @override
    def ask(self, key: str, call: RedisCall) -> None:
        self.calls.append(call)

    def answer(self, *notices: bytes, last: int, epoch: bytes = b"e", now: bytes = b"100") -> None:
        """Answer the oldest read."""
        self.calls.pop(0).answer([epoch, last, now, *notices])


class Heard:
    """Notices, and what was handed on."""

    def __init__(self) -> None:
        self.servers = Written()
        self.log: list[bytes] = []
        self.answers: list[EngineError | None] = []
        self.notices = RedisNotices(self.servers, "x:", "PUBLISH", self.log.append, lambda: "fresh")
        self.notices.start(self.answers.append)
        self.notices.check()


def test_hands_on_what_is_kept_before_it_answers_that_it_has_started() -> None:
    """In the order of their numbers; what is over is for those who were here."""
    it = Heard()
    it.servers.answer(b"12 200.0 b", b"9 150.0 a", b"10 99.5 over", last=12)

    assert it.log == [b"a", b"b"]
    assert it.answers == [None]
    assert it.servers.calls == []


def test_hands_on_the_next_and_reads_what_is_missing() -> None:
    """What was heard already is left out."""
    it = Heard()
    it.servers.answer(last=5)
    it.notices.received(b"6 e six and more")
    it.notices.received(b"6 e six and more")
    it.notices.received(b"9 e nine")
    (call,) = it.servers.calls
    asked = call.arguments
    it.servers.answer(b"8 99.5 eight", b"9 200 nine", b"7 200 seven", last=9)
    it.notices.received(b"9 e nine")

    assert asked[1:] == ("e", 6)
    assert it.log == [b"six and more", b"seven", b"eight", b"nine"]


def test_reads_again_what_came_while_it_was_reading() -> None:
    """The answer may be older than that."""
    it = Heard()
    it.servers.answer(last=5)
    it.notices.check()
    it.notices.received(b"7 e seven")
    it.notices.check()
    assert len(it.servers.calls) == 1
    it.servers.answer(b"6 200 six", last=6)
    it.servers.answer(b"7 200 seven", last=7)

    assert it.log == [b"six", b"seven"]
    assert it.servers.calls == []


def test_says_that_it_could_not_start() -> None:
    """A node that may not know who was revoked must not serve."""

    async def scene() -> Heard:
        it = Heard()
        it.servers.calls.pop().answer(EngineError("away"))
        return it

    assert [str(answer) for answer in asyncio.run(scene()).answers] == ["away"]


def test_reads_again_when_a_read_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it heard is known still; a node that has stopped reads nothing."""
    monkeypatch.setattr(redis_notices, "RETRY_SECONDS", 0)

    async def scene() -> Heard:
        it = Heard()
        it.servers.answer(last=5)
        it.notices.check()
        it.servers.calls.pop().answer(EngineError("away"))
        await asyncio.sleep(0.01)  # its timer is real
        it.servers.answer(b"6 200 six", last=6)
        it.notices.check()
        it.notices.stop()
        it.servers.calls.pop().answer(EngineError("stopped"))
        await asyncio.sleep(0.01)
        return it

    it = asyncio.run(scene())

    assert it.log == [b"six"]
    assert it.servers.calls == []
