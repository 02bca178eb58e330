"""The tables of the SQLite engine, read and written with few statements for many rows.

Each step of a statement hands the interpreter to the event loop, and may wait milliseconds to get
it back. So rows are written and read hundreds at a time, in one step: beside a thread that never
rests that is 195,000 rows/s instead of 10,000.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from itemwire.engines.base import (
    EMPTY,
    KEY_SECONDS,
    Bounds,
    ChannelBounds,
    EngineError,
    History,
    Span,
    new_secret,
    retained_at,
)
from itemwire.engines.faults import FULL
from itemwire.engines.sqlite.messages import decode_history
from itemwire.messages import Position, Publication

T = TypeVar("T")
Row = tuple[Any, ...]

MAX_KEYS: Final = 100_000  # a channel
MAX_NOTICES: Final = 100_000
MAX_VALUES_BYTES: Final = 256 * 1_048_576  # of all values that were put, with what each costs

VALUE_BYTES: Final = 200  # what a row, its key and its entries in two indexes cost
MOST_ROWS: Final = 512  # a statement


FIND_HEADS: Final = """
WITH asked (place, name) AS (VALUES {})
SELECT json_group_array(json_array(place, id, epoch, offset, bytes, keys, used_at))
FROM asked CROSS JOIN channels USING (name)
"""

FIND_KEYS: Final = """
WITH asked (place, channel, key, forgotten) AS (VALUES {})
SELECT json_group_array(json_array(place, offset))
FROM asked CROSS JOIN keys USING (channel, key) WHERE number > forgotten AND stored_at > ?
"""

FIND_MESSAGES: Final = """
SELECT CAST('[' || group_concat('[' || offset || ',' || message || ']') || ']' AS BLOB) FROM (
    SELECT offset, message FROM messages WHERE channel = ? AND offset > ? AND offset < ?
    AND start >= ? AND stored_at >= ? ORDER BY offset {} LIMIT ?)
"""

ADD_MESSAGES: Final = "INSERT INTO messages (channel, offset, start, stored_at, message) VALUES {}"
ADD_KEYS: Final = "INSERT OR REPLACE INTO keys (channel, number, key, offset, stored_at) VALUES {}"

SAVE_HEADS: Final = """
INSERT INTO channels (id, name, epoch, offset, bytes, keys, used_at) VALUES {}
ON CONFLICT (id) DO UPDATE SET
offset = excluded.offset, bytes = excluded.bytes, keys = excluded.keys, used_at = excluded.used_at
"""

FIND_RETAINED: Final = "SELECT epoch, offset, message FROM retained WHERE name = ? AND until > ?"
KEEP_RETAINED: Final = """
INSERT OR REPLACE INTO retained (name, until, epoch, offset, message) VALUES {}
"""

ERASE: Final = """
DELETE FROM messages WHERE channel = (SELECT id FROM channels WHERE name = ?)
"""

FIND_SECRET: Final = "SELECT value FROM state WHERE name = 'secret'"  # noqa: S105
COUNT_NOTICES: Final = "SELECT count(*) FROM notices"
SUM_VALUES: Final = "SELECT coalesce(sum(length(value) + ?), 0) FROM kept_values"


@dataclass(frozen=True, slots=True)
class MessageEntry:
    """A message to store, encoded, and the bytes that its payload counts."""

    channel: str
    key: str | None
    bytes: int
    message: str


@dataclass(slots=True)
class _Head:
    """The row of a channel: its epoch, its last offset, and its counters."""

    id: int
    epoch: str
    offset: int
    bytes: int
    keys: int
    used_at: float


class SqliteStore:
    """Reads and writes the tables; the caller holds the transaction."""

    def __init__(
        self, connection: sqlite3.Connection, bounds: ChannelBounds, clock: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._bounds = bounds
        self._retains = bounds.largest.retained > 0
        self.clock = clock
        self._notices: int | None = None  # None until they have been counted
        self._value_bytes: int | None = None
        self._may_write = True
        self.changed: dict[int, Bounds] = {}  # of channels whose history may exceed them
        self.used: set[int] = set()  # channels that were read after a long time

    @contextlib.contextmanager
    def writing_nothing(self) -> Generator[None]:
        """Read only: a channel that does not exist is read as empty, and is not made."""
        self._may_write = False
        try:
            yield
        finally:
            self._may_write = True

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """Commit everything within, or roll all of it back on an error."""
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self.recount()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def recount(self) -> None:
        """Have notices and values counted anew before the next one is stored."""
        self._notices = self._value_bytes = None

    def publish(self, entries: Sequence[MessageEntry]) -> list[tuple[Position, bool]]:
        """Store messages; return each position, and whether the message is new."""
        now = self.clock()
        names = {entry.channel for entry in entries}
        heads = self._heads(names)
        self._add_missing(heads, names, now)
        known = self._known_keys(heads, entries, now)
        messages: list[Row] = []
        keys: list[Row] = []
        retained: dict[str, Row] = {}
        placed: list[tuple[Position, bool]] = []
        for entry in entries:
            head = heads[entry.channel]
            first = None if entry.key is None else known.get((head.id, entry.key))
            if first is None:
                head.offset += 1
                messages.append((head.id, head.offset, head.bytes, now, entry.message))
                head.bytes += entry.bytes
                if entry.key is not None:
                    head.keys += 1
                    known[head.id, entry.key] = head.offset
                    keys.append((head.id, head.keys, entry.key, head.offset, now))
                if self._retains and (seconds := self._bounds.of(entry.channel).retained):
                    until = now + seconds
                    row = (entry.channel, until, head.epoch, head.offset, entry.message)
                    retained[entry.channel] = row
            placed.append((Position(head.epoch, first or head.offset), first is None))
        self._insert(ADD_MESSAGES, messages)
        self._insert(ADD_KEYS, keys)
        self._insert(KEEP_RETAINED, list(retained.values()))
        self._save(heads, now)
        return placed

    def read(self, channel: str, span: Span) -> History:
        """Return a part of a channel's history; a channel that does not exist is made."""
        now = self.clock()
        heads = self._heads({channel})
        if not heads and not self._may_write:
            return EMPTY
        is_new = self._add_missing(heads, {channel}, now)
        head = heads[channel]
        if is_new:
            self._save(heads, now)  # the epoch that the caller learns must be kept
        elif head.used_at < now - KEY_SECONDS / 2:
            self.used.add(head.id)
        after, before = span.within(head.offset)
        is_asked = span.limit > 0 and before - after > 1
        bounds = self._bounds.of(channel)
        found = self._find(head, span, (after, before), bounds, now) if is_asked else []
        position = Position(head.epoch, head.offset)
        retained = self._retained(channel, position, now) if span.retained and not found else None
        return History.of(position, found, span, retained)

    def erase(self, channel: str) -> None:
        """Forget the messages of a channel; its position stays."""
        self._connection.execute(ERASE, (channel,))
        self._connection.execute("DELETE FROM retained WHERE name = ?", (channel,))

    def _retained(self, channel: str, position: Position, now: float) -> Publication | None:
        row: Row | None = self._connection.execute(FIND_RETAINED, (channel, now)).fetchone()
        if row is None:
            return None
        epoch, offset, message = row
        (kept,) = decode_history(f"[[{offset},{message}]]".encode())
        return retained_at(position, epoch, kept)

    def post(self, notice: bytes, until: float) -> EngineError | None:
        """Keep a notice until its time is over; an error if there is no room."""
        if until <= self.clock():
            return None
        count: int = self._one(COUNT_NOTICES) if self._notices is None else self._notices
        if count >= MAX_NOTICES:
            self._notices = count
            return EngineError("there is no room for another notice")
        self._notices = count + 1
        self._connection.execute(
            "INSERT INTO notices (until, notice) VALUES (?, ?)", (until, notice)
        )
        return None

    def notices(self) -> list[bytes]:
        """Return the notices that are kept, in the order in which they end."""
        rows = self._connection.execute(
            "SELECT notice FROM notices WHERE until > ? ORDER BY until", (self.clock(),)
        )
        return [notice for (notice,) in rows]

    def put(self, key: str, value: bytes, seconds: float) -> EngineError | None:
        """Keep a value, replacing the one under its key; an error if there is no room."""
        size = len(value) + VALUE_BYTES
        if self._value_bytes is None:
            self._value_bytes = int(self._one(SUM_VALUES, (VALUE_BYTES,)))
        if self._value_bytes + size > MAX_VALUES_BYTES:
            return EngineError("more values are kept than there is room for", FULL)
        self.take(key)
        self._value_bytes += size
        self._connection.execute(
            "INSERT INTO kept_values (key, until, value) VALUES (?, ?, ?)",
            (key, self.clock() + seconds, value),
        )
        return None

    def take(self, key: str) -> bytes | None:
        """Return a value and delete it; None if there is none, or its time is over."""
        row: tuple[bytes, float] | None = self._connection.execute(
            "SELECT value, until FROM kept_values WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        value, until = row
        self._connection.execute("DELETE FROM kept_values WHERE key = ?", (key,))
        if self._value_bytes is not None:
            self._value_bytes -= len(value) + VALUE_BYTES
        return value if until > self.clock() else None

    def secret(self) -> bytes:
        """Return the secret of this file; a file that has none gets one."""
        row: tuple[bytes] | None = self._connection.execute(FIND_SECRET).fetchone()
        if row is not None:
            return row[0]
        secret = new_secret()
        self._connection.execute("INSERT INTO state VALUES ('secret', ?)", (secret,))
        return secret

    def _heads(self, names: set[str]) -> dict[str, _Head]:
        heads: dict[str, _Head] = {}
        for part in in_parts(list(names)):
            asked = ",".join(f"({place},?)" for place in range(len(part)))
            rows = self._one(FIND_HEADS.format(asked), part)
            for place, *head in msgspec.json.decode(rows):
                heads[part[int(place)]] = _Head(*head)
        return heads

    def _add_missing(self, heads: dict[str, _Head], names: set[str], now: float) -> bool:
        """Add a head for each channel that does not exist yet; return whether there are any."""
        missing = names - heads.keys()
        if missing:
            newest = self._one("SELECT coalesce(max(id), 0) FROM channels")
            for number, name in enumerate(missing, newest + 1):
                heads[name] = _Head(number, secrets.token_urlsafe(6), 0, 0, 0, now)
        return bool(missing)

    def _save(self, heads: dict[str, _Head], now: float) -> None:
        rows = [
            (head.id, name, head.epoch, head.offset, head.bytes, head.keys, now)
            for name, head in heads.items()
        ]
        self.changed.update((head.id, self._bounds.of(name)) for name, head in heads.items())
        self._insert(SAVE_HEADS, rows)

    def _known_keys(
        self, heads: dict[str, _Head], entries: Sequence[MessageEntry], now: float
    ) -> dict[tuple[int, str], int]:
        """Return the offsets of those keys that are still remembered."""
        asked: list[tuple[_Head, str]] = [
            (heads[entry.channel], entry.key) for entry in entries if entry.key is not None
        ]
        known: dict[tuple[int, str], int] = {}
        for part in in_parts(asked):
            values = ",".join(f"({place},?,?,?)" for place in range(len(part)))
            forgotten = [(head.id, key, head.keys - MAX_KEYS) for head, key in part]
            flat = [value for row in forgotten for value in row]
            rows = self._one(FIND_KEYS.format(values), [*flat, now - KEY_SECONDS])
            for place, offset in msgspec.json.decode(rows):
                head, key = part[int(place)]
                known[head.id, key] = offset
        return known

    def _find(
        self, head: _Head, span: Span, between: tuple[int, int], bounds: Bounds, now: float
    ) -> list[Publication]:
        after, before = between
        order = "DESC" if span.after is None else "ASC"
        rows: bytes | None = self._one(
            FIND_MESSAGES.format(order),
            (
                head.id,
                max(after, head.offset - bounds.messages),
                before,
                head.bytes - bounds.bytes,
                now - bounds.seconds,
                min(span.limit, head.offset),
            ),
        )
        return [] if rows is None else decode_history(rows)

    def _one(self, statement: str, values: Sequence[object] = ()) -> Any:  # noqa: ANN401
        """Return the only value of the only row."""
        return self._connection.execute(statement, values).fetchone()[0]

    def _insert(self, statement: str, rows: Sequence[Row]) -> None:
        for part in in_parts(rows):
            row = f"({','.join('?' * len(part[0]))})"
            values = [value for one in part for value in one]
            self._connection.execute(statement.format(",".join([row] * len(part))), values)


def in_parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield rows in parts of 2^n, so that few different statements are ever prepared."""
    start = 0
    while start < len(rows):
        size = min(MOST_ROWS, 1 << (len(rows) - start).bit_length() - 1)
        yield rows[start : start + size]
        start += size
