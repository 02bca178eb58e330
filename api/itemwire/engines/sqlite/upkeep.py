"""Deletes, a slice at a time, what the SQLite engine need not keep any longer."""

import sqlite3
from collections import defaultdict, deque
from collections.abc import Container
from typing import Final

from itemwire.engines.base import KEY_SECONDS, Bounds, ChannelBounds
from itemwire.engines.sqlite.store import MAX_KEYS, SqliteStore, in_parts

SLICE_ROWS: Final = 2000  # about 5 ms, for which a publish may have to wait
SLICE_CHANNELS: Final = 256
SLICE_PAGES: Final = 256

SPARE_PAGES: Final = 1024  # 4 MiB of free pages are left in the file, to be used again
SPARE_SHARE: Final = 4  # and a quarter of it


class SqliteUpkeep:
    """Prunes histories and keys, and deletes what has ended and channels that are idle.

    A channel is kept while it has subscribers here, and until it has been idle for as long as its
    history and keys last. After a start all channels are kept for that long as well, since their
    subscribers are coming back.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        store: SqliteStore,
        bounds: ChannelBounds,
        subscribed: Container[str],
        left: deque[str],
    ) -> None:
        self._connection = connection
        self._store = store
        self._bounds = bounds
        self._subscribed = subscribed
        self._left = left
        self._started_at = store.clock()

    def tidy(self) -> bool:
        """Do a slice of everything that is due; return whether there is more."""
        now = self._store.clock()
        self._touch(now)
        steps = (self._prune(now), self._forget_old(now), self._forget_idle(now), self._shrink())
        return any(steps)

    def _touch(self, now: float) -> None:
        """Note the channels that were left or read: their idleness begins now."""
        self._use("name", self._take_left(), now)
        self._use("id", sorted(self._store.used), now)
        self._store.used.clear()

    def _take_left(self) -> list[str]:
        """Return the channels that were left since; the event loop may be adding to them."""
        return sorted({self._left.popleft() for _ in range(len(self._left))})

    def _use(self, column: str, channels: list[str] | list[int], now: float) -> None:
        for part in in_parts(channels):
            marks = ",".join("?" * len(part))
            statement = f"UPDATE channels SET used_at = ? WHERE {column} IN ({marks})"  # noqa: S608
            self._connection.execute(statement, (now, *part))

    def _prune(self, now: float) -> bool:
        """Delete what is beyond the bounds of the channels that have changed.

        A channel that does not change may keep what is too old by its own rule, which no read
        returns, until it is too old for every channel.
        """
        changed = self._store.changed
        taken = [changed.popitem() for _ in range(min(len(changed), SLICE_CHANNELS))]
        alike: defaultdict[Bounds, list[int]] = defaultdict(list)
        for channel, bounds in taken:
            alike[bounds].append(channel)
        for bounds, channels in alike.items():
            limits = (bounds.messages, bounds.bytes, now - bounds.seconds)
            for part in in_parts(channels):
                asked = ",".join(["(?)"] * len(part))
                deleted = [
                    self._delete(statement.format(asked), (*part, *values, SLICE_ROWS))
                    for statement, values in ((PRUNE_MESSAGES, limits), (PRUNE_KEYS, (MAX_KEYS,)))
                ]
                if SLICE_ROWS in deleted:
                    changed.update(dict.fromkeys(part, bounds))
        return bool(changed)

    def _forget_old(self, now: float) -> bool:
        """Delete messages and keys that are too old, and notices and values that have ended."""
        is_more = False
        for table, seconds in (("messages", self._bounds.largest.seconds), ("keys", KEY_SECONDS)):
            first = f"SELECT stored_at FROM {table} ORDER BY id LIMIT 1"  # noqa: S608 - our own
            row = self._connection.execute(first).fetchone()
            if row is not None and row[0] < now - seconds:
                statement = FORGET_AGED.format(table=table)
                is_more |= self._delete(statement, (SLICE_ROWS, now - seconds)) == SLICE_ROWS
        for statement in (FORGET_NOTICES, FORGET_VALUES, FORGET_RETAINED):
            if self._delete(statement, (now,)):
                self._store.recount()
        return is_more

    def _forget_idle(self, now: float) -> bool:
        """Delete channels that nobody can miss."""
        since = now - max(self._bounds.largest.seconds, KEY_SECONDS)
        if self._started_at > since:
            return False
        idle: list[tuple[int, str]] = self._connection.execute(
            "SELECT id, name FROM channels WHERE used_at < ? ORDER BY used_at LIMIT ?",
            (since, SLICE_CHANNELS),
        ).fetchall()
        unused = [(number, name) for number, name in idle if name not in self._subscribed]
        self._use("id", [number for number, name in idle if name in self._subscribed], now)
        left = self._take_left()  # now: a channel is among them before it has no subscriber
        self._use("name", left, now)
        forgotten = [number for number, name in unused if name not in set(left)]
        for part in in_parts(forgotten):
            marks = ",".join("?" * len(part))
            for statement in FORGET_CHANNELS:
                self._connection.execute(statement.format(marks), part)
        return len(idle) == SLICE_CHANNELS

    def _shrink(self) -> bool:
        """Give pages back to the disk if many are free."""
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        if free <= max(SPARE_PAGES, pages // SPARE_SHARE):
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({SLICE_PAGES})").fetchall()
        return True

    def _delete(self, statement: str, values: tuple[float, ...]) -> int:
        return self._connection.execute(statement, values).rowcount


PRUNE_MESSAGES: Final = """
DELETE FROM messages WHERE id IN (
    WITH changed (id) AS (VALUES {})
    SELECT old.id FROM changed CROSS JOIN channels USING (id) CROSS JOIN messages AS old
    ON old.channel = channels.id AND old.offset < coalesce(
        (SELECT kept.offset FROM messages AS kept
         WHERE kept.channel = channels.id AND kept.offset > channels.offset - ?
         AND kept.start >= channels.bytes - ? AND kept.stored_at >= ? ORDER BY kept.offset LIMIT 1),
        channels.offset + 1)
    LIMIT ?)
"""

PRUNE_KEYS: Final = """
DELETE FROM keys WHERE id IN (
    WITH changed (id) AS (VALUES {})
    SELECT old.id FROM changed CROSS JOIN channels USING (id) CROSS JOIN keys AS old
    ON old.channel = channels.id AND old.number <= channels.keys - ?
    LIMIT ?)
"""

FORGET_AGED: Final = """
DELETE FROM {table} WHERE id IN (
    SELECT id FROM (SELECT id, stored_at FROM {table} ORDER BY id LIMIT ?) WHERE stored_at < ?)
"""

FORGET_NOTICES: Final = "DELETE FROM notices WHERE until <= ?"
FORGET_RETAINED: Final = "DELETE FROM retained WHERE until <= ?"
FORGET_VALUES: Final = "DELETE FROM kept_values WHERE until <= ?"

FORGET_CHANNELS: Final = (
    "DELETE FROM messages WHERE channel IN ({})",
    "DELETE FROM keys WHERE channel IN ({})",
    "DELETE FROM channels WHERE id IN ({})",
)
