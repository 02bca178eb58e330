"""The subscribers of a channel who get the same bytes, and what they get in one loop tick."""

import logging
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from itemwire.channels.delivery.outbox import Chunk, Framing, Writer
from itemwire.close_reasons import CloseReason
from itemwire.messages import Position
from itemwire.wire.base import Codec

logger = logging.getLogger("itemwire.channels")

MAX_PENDING_BYTES: Final = 64 * 1024  # joined further, a tick could fill a good reader's outbox


class Subscriber(Protocol):
    """Whom a lane delivers to."""

    @property
    def writer(self) -> Writer:
        """Give what takes chunks for it just now."""
        ...

    @property
    def chooses(self) -> bool:
        """Tell whether it takes chunks one by one just now, as it may drop messages of them."""
        ...

    def choose(self, chunks: Sequence[Chunk], positions: Sequence[Position | None]) -> None:
        """Take some chunks; those with a position are messages."""
        ...

    def fail(self, reason: CloseReason) -> None:
        """End its connection, though not this instant."""
        ...


class Lane:
    """Subscribers of one codec and framing, and of one right to see who comes and goes.

    What one loop tick sends to them is joined once and written once to each: the largest gain of
    the whole fan-out. Who must have something else in between catches up first, alone, and is
    left out of the joint write, and so is who may drop some of it, being behind. `writers` keeps
    its keys while it is walked.
    """

    __slots__ = (
        "_aside",
        "_choosing",
        "_pending",
        "_positions",
        "_size",
        "channel",
        "codec",
        "framing",
        "shows_presence",
        "writers",
    )

    def __init__(
        self, codec: Codec, framing: Framing, *, shows_presence: bool, channel: str = ""
    ) -> None:
        self.channel = channel
        self.codec = codec
        self.framing = framing
        self.shows_presence = shows_presence
        self.writers: dict[Subscriber, Writer] = {}
        self._aside: dict[Subscriber, int] = {}  # who has had the first so many of what is pending
        self._choosing: dict[Subscriber, None] = {}
        self._pending: list[Chunk] = []
        self._positions: list[Position | None] = []  # of those that are messages
        self._size = 0

    def add(self, subscriber: Subscriber) -> None:
        """Deliver to a subscriber what is sent from here on."""
        self._route(subscriber)
        if self._pending:
            self._set_aside(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Deliver nothing more to a subscriber, not even what is pending."""
        self.writers.pop(subscriber, None)
        self._aside.pop(subscriber, None)
        self._choosing.pop(subscriber, None)

    def reroute(self, subscriber: Subscriber) -> None:
        """Take notice that a subscriber's writer is another one."""
        if subscriber in self.writers and subscriber not in self._aside:
            self._route(subscriber)

    def send(self, chunk: Chunk, position: Position | None = None) -> bool:
        """Send a chunk to all with the next flush; True: it is the first that waits for one.

        What has become too much to wait for the end of the tick is flushed at once.
        """
        self._pending.append(chunk)
        self._positions.append(position)
        self._size += len(chunk)
        is_first = len(self._pending) == 1
        if self._size >= MAX_PENDING_BYTES:
            self.flush()
        return is_first

    def catch_up(self, subscriber: Subscriber) -> None:
        """Send a subscriber now what is pending: something for it alone comes next."""
        if self._pending and subscriber in self.writers:
            had = self._aside.get(subscriber, 0)
            self._write_rest(subscriber, self._pending[had:], self._positions[had:])
            self._set_aside(subscriber)

    def fail(self, reason: CloseReason) -> None:
        """End the connections of all subscribers with the next flush."""
        for subscriber in self.writers:
            subscriber.fail(reason)

    def flush(self) -> None:
        """Write what is pending to each subscriber."""
        pending, self._pending, self._size = self._pending, [], 0
        positions, self._positions = self._positions, []
        aside, self._aside = self._aside, {}
        # Those of now: whom the walk finds behind has got this by the joint write.
        choosing = [one for one in self._choosing if one not in aside] if self._choosing else ()
        if pending:
            _write_to_all(self.writers.values(), self.framing.join(pending))
        for subscriber in choosing:
            subscriber.choose(pending, positions)
        for subscriber, had in aside.items():
            self._route(subscriber)
            self._write_rest(subscriber, pending[had:], positions[had:])

    def _set_aside(self, subscriber: Subscriber) -> None:
        self._aside[subscriber] = len(self._pending)
        self.writers[subscriber] = _skip

    def _route(self, subscriber: Subscriber) -> None:
        if subscriber.chooses:
            self._choosing[subscriber] = None
            self.writers[subscriber] = _skip
        else:
            self.writers[subscriber] = subscriber.writer
            if self._choosing:
                self._choosing.pop(subscriber, None)

    def _write_rest(
        self, subscriber: Subscriber, chunks: list[Chunk], positions: list[Position | None]
    ) -> None:
        if not chunks:
            return
        if subscriber.chooses:
            subscriber.choose(chunks, positions)
        else:
            _write_to_all([subscriber.writer], self.framing.join(chunks))


def _write_to_all(writers: Iterable[Writer], chunk: Chunk) -> None:
    """Write one chunk to each. A transport that fails, which none should, fails alone."""
    left = iter(writers)
    while True:
        try:
            for write in left:
                write(chunk)
        except Exception:
            logger.exception("write_failed")
        else:
            return


def _skip(_chunk: Chunk) -> None:
    """Leave a subscriber out of the joint write."""
