"""Notices through Redis: what is asked of the server, and how its replies are read."""

from __future__ import annotations

from typing_extensions import override

from itemwire.engines.redis.notices import RedisNotices
from itemwire.engines.redis.requests import RedisCall
from itemwire.engines.redis.servers import RedisServers
from itemwire.engines.redis.target import RedisTarget


class WrittenServers(RedisServers):
    """Servers that answer when the test says so."""

    def __init__(self) -> None:
        super().__init__(RedisTarget.of("redis://nowhere"), lambda _: None)
        self.calls: list[RedisCall] = []

    @override
    def ask(self, key: str, call: RedisCall) -> None:
        self.calls.append(call)

    def answer(self, *notices: bytes, last: int, epoch: bytes = b"e", now: bytes = b"100") -> None:
        """Answer the oldest read."""
        self.calls.pop(0).answer([epoch, last, now, *notices])


class Scene:
    """Notices that are being read, and what was applied."""

    def __init__(self) -> None:
        self.servers = WrittenServers()
        self.log: list[bytes] = []
        self.notices = RedisNotices(self.servers, "x:", "PUBLISH", self.log.append, lambda: "new")
        self.notices.check()


def test_applies_what_is_kept_in_the_order_of_its_numbers() -> None:
    """Redis sorts by their ends; what is over is for nodes that were cut off."""
    it = Scene()
    it.servers.answer(b"12 200.0 b", b"9 150.0 a", b"10 99.5 over", last=12)

    assert it.log == [b"a", b"b"]
    assert it.servers.calls == []


def test_applies_the_next_and_reads_what_is_missing() -> None:
    """It asks for what comes after the last number of its epoch; what was applied is left out."""
    it = Scene()
    it.servers.answer(last=5)
    it.notices.receive_live(b"6 e six and more")
    it.notices.receive_live(b"6 e six and more")
    it.notices.receive_live(b"9 e nine")
    (call,) = it.servers.calls
    asked = call.arguments
    it.servers.answer(b"8 99.5 eight", b"9 200 nine", b"7 200 seven", last=9)
    it.notices.receive_live(b"9 e nine")

    assert asked[1:] == ("e", 6)
    assert it.log == [b"six and more", b"seven", b"eight", b"nine"]


def test_applies_what_is_not_kept_whatever_was_read() -> None:
    """It has no number, and nothing follows from it."""
    it = Scene()
    it.notices.receive_live(b"0 - passing by")

    assert it.log == [b"passing by"]
    assert len(it.servers.calls) == 1
