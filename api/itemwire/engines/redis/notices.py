"""Notices through Redis: a sorted set by their end, and pub/sub for those that listen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from typing_extensions import override

from itemwire.engines.base import Answer, Apply, EngineError
from itemwire.engines.callbacks import when_done
from itemwire.engines.notices import NoticePage, NoticeReader, StoredNotice
from itemwire.engines.redis.client import Reply
from itemwire.engines.redis.requests import RedisCall
from itemwire.engines.redis.scripts import NOTICES, POST
from itemwire.engines.redis.servers import RedisServers

PASSING: Final = b"0 - "  # before one that is not kept: even a full server passes it on


class RedisNotices(NoticeReader):
    """The notices on one server, or on one slot of a cluster."""

    def __init__(
        self,
        servers: RedisServers,
        prefix: str,
        publish_command: str,
        apply: Apply,
        new_epoch: Callable[[], str],
    ) -> None:
        super().__init__(apply)
        self.live: Final = f"{prefix}{{notices}}:live"
        self._keys = (f"{prefix}{{notices}}:kept", f"{prefix}{{notices}}:meta")
        self._servers = servers
        self._publish_command = publish_command
        self._new_epoch = new_epoch

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        if until <= 0:
            words = (self._publish_command, self.live, PASSING + notice)
            self._servers.ask(self.live, RedisCall(when_done(answer), *words, size=len(notice)))
            return
        self._servers.ask(
            self._keys[0],
            RedisCall(
                when_done(answer),
                self._new_epoch(),
                repr(until),
                notice,
                self._publish_command,
                self.live,
                script=POST,
                keys=self._keys,
                size=len(notice),
            ),
        )

    def receive_live(self, data: bytes) -> None:
        """Take a notice that was published a moment ago."""
        if data.startswith(PASSING):
            self._hand_on(data.removeprefix(PASSING))
            return
        try:
            number, epoch, notice = data.split(b" ", 2)
            self.receive(epoch.decode(), int(number) - 1, int(number), notice)
        except ValueError:  # it is not ours: what is kept says what there is
            self.check()

    @override
    def _read_page(self, epoch: str, after: int, answer: Answer[NoticePage]) -> None:
        def have_read(reply: Reply | EngineError) -> None:
            answer(reply if isinstance(reply, EngineError) else _page_of(reply))

        self._servers.ask(
            self._keys[0],
            RedisCall(have_read, self._new_epoch(), epoch, after, script=NOTICES, keys=self._keys),
        )


def _page_of(reply: list[Reply]) -> NoticePage:
    epoch, last, now, *kept = reply
    notices = [_notice_of(one, float(now)) for one in kept]
    return NoticePage(epoch.decode(), last, sorted(notices))


def _notice_of(kept: bytes, now: float) -> StoredNotice:
    number, until, notice = kept.split(b" ", 2)
    return StoredNotice(int(number), notice, is_over=float(until) <= now)
