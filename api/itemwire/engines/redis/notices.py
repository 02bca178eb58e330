"""Notices through Redis: numbered, kept until their time, and read again after any hole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from itemwire.engines.base import Answer, Apply, EngineError
from itemwire.engines.callbacks import when_done
from itemwire.engines.redis.link import Reply
from itemwire.engines.redis.requests import RedisCall
from itemwire.engines.redis.scripts import NOTICES, POST
from itemwire.engines.redis.servers import RedisServers

RETRY_SECONDS: Final = 0.5

PASSING: Final = b"0 - "  # ahead of one that is not kept: a full server takes it too


class RedisNotices:
    """Hands on each notice in the order of the numbers; after a doubt, some once more."""

    def __init__(
        self,
        servers: RedisServers,
        prefix: str,
        publish_command: str,
        apply: Apply,
        new_epoch: Callable[[], str],
    ) -> None:
        self.live: Final = f"{prefix}{{notices}}:live"
        self._keys = (f"{prefix}{{notices}}:kept", f"{prefix}{{notices}}:meta")
        self._servers = servers
        self._publish_command = publish_command
        self._apply = apply
        self._new_epoch = new_epoch
        self._epoch = ""
        self._number = 0
        self._is_reading = False
        self._is_doubtful = True
        self._started: list[Answer[None]] = []
        self._is_over = False

    def start(self, answer: Answer[None]) -> None:
        """Answer once the notices that are kept were handed on."""
        self._started.append(answer)
        self._servers.hear(self.live)

    def stop(self) -> None:
        """Read no more."""
        self._is_over = True

    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        """Keep a notice under a number of its own, and send it to all; or only send it."""
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

    def received(self, data: bytes) -> None:
        """Take a notice that has just been posted."""
        number, epoch, notice = data.split(b" ", 2)
        if data.startswith(PASSING):
            self._apply(notice)
        elif epoch.decode() != self._epoch or int(number) > self._number + 1:
            self.check()
        elif int(number) == self._number + 1:
            self._number += 1
            self._apply(notice)

    def check(self) -> None:
        """Read what may have been missed."""
        self._is_doubtful = True
        if self._is_reading or self._is_over:
            return
        self._is_doubtful, self._is_reading = False, True
        self._servers.ask(
            self._keys[0],
            RedisCall(
                self._read,
                self._new_epoch(),
                self._epoch,
                self._number,
                script=NOTICES,
                keys=self._keys,
            ),
        )

    def _read(self, reply: Reply | EngineError) -> None:
        self._is_reading = False
        started, self._started = self._started, []
        if isinstance(reply, EngineError):
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self.check)
            for answer in started:
                answer(reply)
            return
        epoch, number, now, *kept = reply
        is_first = not self._epoch
        self._epoch, self._number = epoch.decode(), max(number, self._known(epoch.decode()))
        for one in sorted(kept, key=lambda text: int(text.partition(b" ")[0])):
            _, until, notice = one.split(b" ", 2)
            # Kept a little longer than asked, for those who were cut off: not for who starts.
            if not is_first or float(until) > float(now):
                self._apply(notice)
        for answer in started:
            answer(None)
        if self._is_doubtful:
            self.check()

    def _known(self, epoch: str) -> int:
        """Tell the number that has been heard meanwhile, if the epoch is the same."""
        return self._number if epoch == self._epoch else 0
