"""The messages of one item for its reader: each once, in order, gaps in their place."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from itemwire.client.envelopes import EnvelopeForm, Incoming
from itemwire.messages import Gap, Position

MAX_BYTES: Final = 16 * 1_048_576
"""Bytes of the messages of one item that wait for its reader."""


@dataclass(slots=True)
class Unread:
    """A message or a gap, and the position of who has read it."""

    value: Incoming | Gap
    position: Position | None
    form: EnvelopeForm
    size: int = 0


class ItemStream:
    """Keeps what has come until it is read, and knows from where to go on after a break.

    `heard` is what has come, and counts for a resume. `position` is what was read, and is what a
    program keeps: it moves before the reader has the message.
    """

    def __init__(self, since: Position | None, replay: int, room: int) -> None:
        self._since = since
        self._replay = replay
        self._room = room
        self._queue: deque[Unread] = deque()
        self._bytes = 0
        self._heard = since
        self._resume: str | None = None
        self._last_message: int | None = None  # the offset of one that may follow a welcome
        self._reader: asyncio.Future[None] | None = None
        self._is_over = True
        self._error: Exception | None = None
        self.position = since

    def begin(self) -> None:
        """Expect messages; what ended it before is forgotten."""
        self._is_over, self._error = False, None

    def end(self, error: Exception | None = None) -> None:
        """Let the reader read what is there, and then end, or raise this."""
        self._is_over, self._error = True, error
        self._wake_reader()

    def drop(self) -> None:
        """End, with nothing left to read; the next join begins anew."""
        self._queue.clear()
        self._bytes = 0
        self._heard = self._resume = None
        self.end()

    def forget(self) -> None:
        """Drop everything, the position too: another user comes."""
        self.drop()
        self.position = None

    def join_fields(self) -> dict[str, object]:
        """Return what a join says of the place to begin."""
        fields: dict[str, object] = {}
        if self._heard is not None:
            place = self._resume or self._heard.epoch
            fields["since"] = f"{place}:{self._heard.offset}"
        if self._replay:
            fields["replay"] = self._replay
        return fields

    def welcome(self, welcome: Incoming, form: EnvelopeForm) -> None:
        """Begin where a welcome says; what is lost for good is told as a gap."""
        before = self._heard
        here = Position(welcome.epoch, welcome.offset)
        self._resume = welcome.resume
        self._last_message = None
        if before is not None and welcome.recovered:
            return
        if before is None or before.epoch != here.epoch or before.offset < here.offset:
            self._last_message = here.offset
        first = Position(here.epoch, max(0, here.offset - self._replay))
        if before is None:
            self._heard = first
            if not self._queue:
                self.position = first
            return
        self._go_on_from(before, here, first, welcome, form)

    def message(self, message: Incoming, form: EnvelopeForm) -> None:
        """Take a message; one that came before is left out."""
        if message.ephemeral or self._heard is None:
            self._put_ephemeral(message, form)
            return
        if message.offset <= self._heard.offset and not self._is_the_last_one(message.offset):
            return
        self._last_message = None
        self._heard = Position(self._heard.epoch, max(message.offset, self._heard.offset))
        if self._is_full(message):
            self._lose(message, form)
        else:
            self._put(message, form)

    def gap(self, told: Incoming, form: EnvelopeForm) -> None:
        """Take the server's word that messages are lost to this client."""
        if self._heard is None or told.epoch != self._heard.epoch:
            self._resume = None  # it was of the epoch before
        self._heard = Position(told.epoch, told.to)
        self._append(Gap(told.item or "", told.epoch, told.from_, told.to), form)

    async def read(self) -> Unread:
        """Return what is next; raises what the stream has ended with, or StopAsyncIteration.

        One that is cancelled takes nothing.
        """
        if self._reader is not None:
            raise RuntimeError("another task reads this item already: use on() for several readers")
        while not self._queue:
            if self._is_over:
                raise self._error or StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        entry = self._queue.popleft()
        self._bytes -= entry.size
        if entry.position is not None:
            self.position = entry.position
        return entry

    def _go_on_from(
        self,
        before: Position,
        here: Position,
        first: Position,
        welcome: Incoming,
        form: EnvelopeForm,
    ) -> None:
        """Tell what is missing since a position that could not be resumed."""
        is_same = before.epoch == here.epoch
        self._heard = Position(here.epoch, max(first.offset, before.offset)) if is_same else first
        if is_same and before.offset >= here.offset:
            return  # nothing was published meanwhile
        lost_from = before.offset + 1 if is_same else 1
        self._append(Gap(welcome.item or "", here.epoch, lost_from, here.offset), form)

    def _is_the_last_one(self, offset: int) -> bool:
        """Report whether a message is what a channel retains, which follows a welcome at once.

        It has the offset of the welcome, or 0 if it was published in an epoch that has ended.
        """
        return self._last_message is not None and offset in {0, self._last_message}

    def _is_full(self, message: Incoming) -> bool:
        waits = len(self._queue)
        return waits >= self._room or (waits > 0 and self._bytes + len(message.data) > MAX_BYTES)

    def _lose(self, message: Incoming, form: EnvelopeForm) -> None:
        """Let one gap stand for all that a slow reader has no room for."""
        last = self._queue[-1]
        first = message.offset
        if isinstance(last.value, Gap) and last.value.to == first - 1:
            first = last.value.from_
            self._queue.pop()
        assert self._heard is not None  # noqa: S101 - set by the caller
        self._append(Gap(message.item or "", self._heard.epoch, first, message.offset), form)

    def _put_ephemeral(self, message: Incoming, form: EnvelopeForm) -> None:
        if not self._is_full(message):  # nothing shows that one is lost, here as elsewhere
            self._put(message, form)

    def _put(self, message: Incoming, form: EnvelopeForm) -> None:
        self._bytes += len(message.data)
        position = None if message.ephemeral else self._heard
        self._queue.append(Unread(message, position, form, len(message.data)))
        self._wake_reader()

    def _append(self, gap: Gap, form: EnvelopeForm) -> None:
        self._queue.append(Unread(gap, self._heard, form))
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
