"""The subscribers of a channel that get the same bytes, joined once a loop tick."""

import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

from itemwire.channels.delivery.outbox import Chunk, ChunkWriter, Framing
from itemwire.channels.delivery.time_slice import TimeSlice, endless
from itemwire.messages import Position
from itemwire.wire.base import Codec

logger = logging.getLogger("itemwire.channels")

MAX_PENDING_BYTES: Final = 64 * 1024  # joined further, one tick could fill a good reader's outbox


class LaneReceiver(Protocol):
    """A connection, as far as a lane knows it."""

    @property
    def writer(self) -> ChunkWriter:
        """Return what takes chunks for it while it keeps up."""
        ...

    @property
    def outbox(self) -> object | None:
        """Return where chunks wait for it while it is behind; None while it keeps up."""
        ...


class Subscriber(Protocol):
    """A subscription, as far as a lane knows it."""

    @property
    def connection(self) -> LaneReceiver:
        """Return the connection that its chunks go to."""
        ...

    def keep(
        self, joined: Chunk, chunks: Sequence[Chunk], positions: Sequence[Position | None]
    ) -> bool:
        """Have chunks wait for a connection that is behind; return False if it is too slow.

        `joined` is all of the chunks in one. A chunk with a position is a message, which may be
        dropped.
        """
        ...


S = TypeVar("S", bound=Subscriber)

# What an idle lane has of everything: five empty collections of its own would cost each channel 400
# bytes. To add to the tuple is an error; a list that all shared would take messages to other items.
NOTHING: Final[Any] = ()
NOBODY: Final[dict[Any, Any]] = {}


class _Rest(Generic[S]):
    """What is left of a joint write that took too long for one turn.

    `owed` has the subscribers that still get the chunks, and how many of these each has had.
    """

    __slots__ = ("chunks", "joined", "owed", "positions")

    def __init__(
        self,
        joined: Chunk,
        chunks: list[Chunk],
        positions: list[Position | None],
        owed: dict[S, int],
    ) -> None:
        self.joined = joined
        self.chunks = chunks
        self.positions = positions
        self.owed = owed


class Lane(Generic[S]):
    """Subscribers with one codec, one framing, and the same right to see who joins or leaves.

    What is sent in one loop tick is joined once and written once to each: the largest gain of the
    whole fan-out. A subscriber is in one of three states:

    - it keeps up: the joint write of `flush` reaches it through its entry in `writers`;
    - it is behind: its chunks wait in its outbox, which may drop some of them, one by one;
    - it is aside: something for it alone came in between, so it was written the first part of
      what is pending, and gets the rest after the joint write.

    The entry in `writers` of a subscriber that is behind or aside does nothing. So the keys of
    `writers` stay as they are while it is walked, though a write may change a state.

    A joint write that takes longer than its slice of time stops, and the next flush goes on with
    it. Until then its subscribers are owed what was joined: a snapshot, which loses those that
    leave. Nothing else is written to any subscriber before it got what it is owed, so the order
    stays; and what is sent meanwhile is joined for all, as ever, and written once nobody is owed.
    """

    __slots__ = (
        "_aside",
        "_behind",
        "_failed",
        "_pending",
        "_positions",
        "_rest",
        "_size",
        "channel",
        "codec",
        "framing",
        "is_pending",
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
        self.writers: dict[S, ChunkWriter] = {}
        self._aside: dict[S, int] = NOBODY  # how many of the pending chunks each has had
        self._behind: dict[S, None] = NOBODY
        self._failed: list[S] | None = None  # too slow, since the last flush
        self._pending: list[Chunk] = NOTHING
        self._positions: list[Position | None] = NOTHING  # of those chunks that are messages
        self._size = 0
        self._rest: _Rest[S] | None = None  # of a joint write that is not done yet
        self.is_pending = False  # whether a flush has something to write

    def add(self, subscriber: S) -> None:
        """Deliver to a subscriber what is sent from here on."""
        self._route(subscriber)
        if self._pending:
            self._set_aside(subscriber)

    def remove(self, subscriber: S) -> None:
        """Deliver nothing more to a subscriber, not even what is pending."""
        self.writers.pop(subscriber, None)
        self._aside.pop(subscriber, None)
        self._behind.pop(subscriber, None)
        if self._rest is not None:
            self._rest.owed.pop(subscriber, None)

    def reroute(self, subscriber: S) -> None:
        """Note that the connection of a subscriber has fallen behind or caught up."""
        if subscriber in self.writers and subscriber not in self._aside:
            self._route(subscriber)

    def send(
        self, chunk: Chunk, position: Position | None = None, *, muted: S | None = None
    ) -> None:
        """Send a chunk to all with the next flush, but to a subscriber that is `muted`.

        Once more is pending than should wait for the end of the tick, it is written at once, as
        far as a slice of time allows. If the write before it is not done yet, that is finished
        first: a flood has to wait for its own delivery.
        """
        self.is_pending = True
        if not self._pending:
            self._pending, self._positions = [], []
        if muted is not None and muted in self.writers:
            self.catch_up(muted)
            self._pending.append(chunk)
            self._set_aside(muted)  # it has had this one, as far as the joint write knows
        else:
            self._pending.append(chunk)
        self._positions.append(position)
        self._size += len(chunk)
        if self._size >= MAX_PENDING_BYTES:
            if self._rest is not None:
                self._go_on(self._rest, endless())
            self._write_pending(TimeSlice())

    def catch_up(self, subscriber: S) -> None:
        """Write what is pending to one subscriber, before something that is for it alone."""
        if self._rest is not None:
            had = self._rest.owed.pop(subscriber, None)
            if had is not None:
                self._write_owed(self._rest, [(subscriber, had)])
        if self._pending and subscriber in self.writers:
            had = self._aside.get(subscriber, 0)
            self._write_rest(subscriber, self._pending[had:], self._positions[had:])
            self._set_aside(subscriber)

    def take(self, subscriber: S) -> Sequence[Chunk]:
        """Return what is pending for one that keeps up, to be written before something of its own.

        So both leave in one write. What a joint write that is not done yet owes it is written here.
        """
        if self._rest is not None:
            self.catch_up(subscriber)
            return ()
        if not self._pending or subscriber not in self.writers:
            return ()
        chunks = self._pending[self._aside.get(subscriber, 0) :]
        if len(self.writers) > 1:
            self._set_aside(subscriber)
        else:  # nobody else waits for it
            self._pending, self._positions, self._size = NOTHING, NOTHING, 0
            self._aside.pop(subscriber, None)
            self._route(subscriber)
        return chunks

    def flush(self, time_slice: TimeSlice | None = None) -> Sequence[S]:
        """Write what is pending to each; return the subscribers that were too slow.

        Those are of any write since the last flush. They are still subscribers: it is for the
        caller to end their connections, once it has flushed all lanes.

        With a slice of time it stops once that is over; then the lane is still pending.
        """
        time_slice = time_slice or endless()
        if self._rest is not None:
            self._go_on(self._rest, time_slice)
        if self._rest is None:
            self._write_pending(time_slice)
        self.is_pending = self._rest is not None
        if self._failed is None:
            return ()
        failed, self._failed = self._failed, None
        return failed

    def _write_pending(self, time_slice: TimeSlice) -> None:
        if not self._pending:
            return
        pending, positions, aside = self._pending, self._positions, self._aside
        self._pending, self._positions, self._size, self._aside = NOTHING, NOTHING, 0, NOBODY
        # Snapshot first: a subscriber that falls behind during the joint write has received it.
        behind = [one for one in self._behind if one not in aside] if self._behind else ()
        joined = pending[0] if len(pending) == 1 else self.framing.join(pending)
        reached = self._write_joined(joined, time_slice)
        is_done = reached == len(self.writers)
        if is_done and len(behind) + len(aside) <= time_slice.stride:
            for subscriber in behind:
                self._keep(subscriber, joined, pending, positions)
            for subscriber, had in aside.items():
                self._route(subscriber)
                self._write_rest(subscriber, pending[had:], positions[had:])
            return
        owed = dict.fromkeys(behind, 0) | aside
        for subscriber in islice(self.writers, reached, None):
            owed.setdefault(subscriber, 0)
        for subscriber in aside:
            self._route(subscriber)
        # From the end: the last of a dict is taken without a search, the first is not.
        self._rest = _Rest(joined, pending, positions, dict(reversed(owed.items())))
        self._go_on(self._rest, time_slice)

    def _write_joined(self, joined: Chunk, time_slice: TimeSlice) -> int:
        """Write to all that keep up, until the slice is over; return how many were reached."""
        count, stride = len(self.writers), time_slice.stride
        if count <= stride:  # as nearly always
            _write_to_all(self.writers.values(), joined)
            time_slice.spend(count)
            return count
        writers, reached = iter(self.writers.values()), 0
        while reached < count and not time_slice.is_over:
            _write_to_all(islice(writers, stride), joined)
            time_slice.spend(stride)
            reached += stride
        return min(reached, count)

    def _go_on(self, rest: _Rest[S], time_slice: TimeSlice) -> None:
        """Write to those that are owed a joint write, until the slice is over."""
        owed, stride = rest.owed, time_slice.stride
        while owed and not time_slice.is_over:
            self._write_owed(rest, [owed.popitem() for _ in range(min(stride, len(owed)))])
            time_slice.spend(stride)
        if not owed:
            self._rest = None

    def _write_owed(self, rest: _Rest[S], owed: Iterable[tuple[S, int]]) -> None:
        """Write what is left of a joint write to these, who have had so many of its chunks."""
        writers: list[ChunkWriter] = []
        for subscriber, had in owed:
            connection = subscriber.connection
            if had:
                self._write_rest(subscriber, rest.chunks[had:], rest.positions[had:])
            elif connection.outbox is None:
                writers.append(connection.writer)
            else:
                self._keep(subscriber, rest.joined, rest.chunks, rest.positions)
        _write_to_all(writers, rest.joined)

    def _set_aside(self, subscriber: S) -> None:
        if not self._aside:
            self._aside = {}
        self._aside[subscriber] = len(self._pending)
        self.writers[subscriber] = _skip

    def _route(self, subscriber: S) -> None:
        """Note whether a subscriber keeps up or is behind."""
        connection = subscriber.connection
        if connection.outbox is not None:
            if not self._behind:
                self._behind = {}
            self._behind[subscriber] = None
            self.writers[subscriber] = _skip
        else:
            self.writers[subscriber] = connection.writer
            if self._behind:
                self._behind.pop(subscriber, None)

    def _write_rest(
        self, subscriber: S, chunks: list[Chunk], positions: list[Position | None]
    ) -> None:
        if not chunks:
            return
        connection = subscriber.connection
        joined = chunks[0] if len(chunks) == 1 else self.framing.join(chunks)
        if connection.outbox is not None:
            self._keep(subscriber, joined, chunks, positions)
        else:
            _write_to_all([connection.writer], joined)

    def _keep(
        self,
        subscriber: S,
        joined: Chunk,
        chunks: list[Chunk],
        positions: list[Position | None],
    ) -> None:
        if not subscriber.keep(joined, chunks, positions):
            self._failed = self._failed or []
            self._failed.append(subscriber)


def _write_to_all(writers: Iterable[ChunkWriter], chunk: Chunk) -> None:
    """Write one chunk to each. A transport that raises, which none should, fails alone."""
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
    """Do nothing: this subscriber has no part in the joint write."""
