"""What the SQLite engine deletes, a slice at a time."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.engines.base import Bounds, ChannelBounds, Span
from itemwire.engines.sqlite import upkeep
from itemwire.engines.sqlite.file import SqliteFile, open_file
from itemwire.engines.sqlite.store import MessageEntry
from itemwire.engines.sqlite.upkeep import SqliteUpkeep
from tests.conformance.asked_engine import OwnBounds
from tests.engines.sqlite.test_store import Shelf
from tests.fakes import CHANNEL

PADDED = '{{"item":"42","sender":"alice","sent_at":1.5,"data":"{}"}}'.format("x" * 1000)


class Kept:
    """A store and its upkeep, run to the end."""

    def __init__(self, connection: sqlite3.Connection, bounds: ChannelBounds) -> None:
        self.connection = connection
        self.shelf = Shelf(connection, bounds)
        self.heard: set[str] = set()
        self.left: deque[str] = deque()
        self.upkeep = SqliteUpkeep(connection, self.shelf, bounds, self.heard, self.left)

    def tidy(self) -> int:
        """Tidy until nothing is left to do; tell how many slices that took."""
        slices = 1
        while self.upkeep.tidy():
            slices += 1
        return slices

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        (rows,) = self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        return int(rows)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A file, open."""
    connection = open_file(SqliteFile(tmp_path / "itemwire.db"))
    yield connection
    connection.close()


@pytest.fixture
def kept(connection: sqlite3.Connection) -> Kept:
    """A store that remembers ten messages, or a hundred bytes, for a minute."""
    return Kept(connection, Bounds(10, 100, 60))


@pytest.mark.parametrize(
    ("size", "rows"), [(1, 10), (30, 3), (101, 0), (0, 10)], ids=["count", "bytes", "none", "empty"]
)
def test_deletes_just_what_no_read_would_find(kept: Kept, size: int, rows: int) -> None:
    """Of each channel that has changed, past the first bound that is met."""
    for name in ("item:1", "item:2"):
        for _ in range(25):
            kept.shelf.add(size=size, at=name)
    before = kept.shelf.offsets("item:1")
    kept.tidy()

    assert kept.shelf.offsets("item:1") == before
    assert len(before) == rows
    assert kept.count("messages") == 2 * rows


def test_works_in_slices(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish waits for one of them, not for all."""
    monkeypatch.setattr(upkeep, "SLICE_ROWS", 20)
    for _ in range(105):
        kept.shelf.add()

    assert kept.tidy() == 5
    assert kept.count("messages") == 10


def test_deletes_what_has_aged(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages, then keys, also of channels that nothing more comes to."""
    monkeypatch.setattr(upkeep, "SLICE_ROWS", 20)
    kept.heard.add(CHANNEL)
    for number in range(10):
        for name in range(10):
            kept.shelf.add(str(number), at=f"item:{name}")
    kept.shelf.hands.now += 59
    kept.shelf.add("young")
    kept.shelf.hands.now += 2
    kept.tidy()
    rows = [kept.count("messages"), kept.count("keys")]
    kept.shelf.hands.now += 240
    kept.tidy()

    assert [*rows, kept.count("messages"), kept.count("keys")] == [1, 101, 0, 1]


def test_bounds_the_keys_of_a_channel(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of fresh keys does not fill the disk."""
    monkeypatch.setattr(upkeep, "MAX_KEYS", 10)
    for number in range(25):
        kept.shelf.add(str(number))
    kept.tidy()

    assert kept.count("keys") == 10


def test_deletes_notices_and_values_that_have_ended(kept: Kept) -> None:
    """What is still to come stays."""
    now = kept.shelf.hands.now
    for seconds in (10, 20, 30):
        kept.shelf.post(b"n", now + seconds)
        kept.shelf.put(str(seconds), b"v", seconds)
    kept.shelf.hands.now += 20
    kept.tidy()

    assert (kept.count("notices"), kept.count("kept_values")) == (1, 1)
    assert (kept.shelf.notices(), kept.shelf.take("30")) == ([b"n"], b"v")


def test_forgets_a_channel_that_is_idle_and_begins_anew(kept: Kept) -> None:
    """The new epoch says that the count is another one (requirement 101)."""
    before = kept.shelf.add("k")
    kept.shelf.hands.now += 301
    kept.tidy()
    rows = [kept.count(table) for table in ("channels", "messages", "keys")]
    after = kept.shelf.add("k")

    assert rows == [0, 0, 0]
    assert after.offset == 1
    assert after.epoch != before.epoch


def test_does_not_forget_a_channel_before_its_time(kept: Kept) -> None:
    """The twin: a client that comes back soon resumes."""
    before = kept.shelf.add()
    kept.shelf.hands.now += 299
    kept.tidy()

    assert kept.shelf.add().epoch == before.epoch


def test_keeps_idle_channels_as_long_as_their_history(connection: sqlite3.Connection) -> None:
    """What the bounds say is remembered is remembered."""
    kept = Kept(connection, Bounds(10, 100, 3600))
    kept.shelf.add()
    kept.shelf.hands.now += 3599
    kept.tidy()

    assert kept.shelf.offsets() == [1]


def test_counts_idleness_from_the_last_who_heard_or_read(kept: Kept) -> None:
    """A client that loses its connection after a quiet hour has the same time to come back."""
    names = ["heard", "left", "read", "idle"]
    for name in names:
        kept.shelf.add(at=name)
    kept.heard.update(["heard", "left"])
    kept.shelf.hands.now += 299
    kept.tidy()
    kept.left.append("left")
    kept.heard.discard("left")
    kept.shelf.read("read", Span(1))
    kept.tidy()
    kept.shelf.hands.now += 299
    kept.tidy()
    left = {name for (name,) in kept.connection.execute("SELECT name FROM channels")}

    assert left == {"heard", "left", "read"}


def test_forgets_nothing_soon_after_a_start(kept: Kept) -> None:
    """Clients that were connected when the last server died are coming back."""
    before = kept.shelf.add()
    kept.shelf.hands.now += 1000
    late = SqliteUpkeep(kept.connection, kept.shelf, Bounds(10, 100, 60), set(), deque())
    late.tidy()
    kept.shelf.hands.now += 299
    late.tidy()

    assert kept.shelf.add().epoch == before.epoch


def test_finds_the_idle_among_many_that_are_heard(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are heard are not looked at again and again."""
    monkeypatch.setattr(upkeep, "SLICE_CHANNELS", 10)
    for number in range(100):
        kept.shelf.add(at=f"item:{number}")
    kept.heard.update(f"item:{number}" for number in range(95))
    kept.shelf.hands.now += 301
    slices = kept.tidy()

    assert slices <= 12
    assert kept.count("channels") == 95


def test_gives_pages_back_to_the_disk(kept: Kept, tmp_path: Path) -> None:
    """After a burst; what is left is used again."""
    for _ in range(20):
        with kept.shelf.transaction():
            kept.shelf.publish([MessageEntry(CHANNEL, None, 1, PADDED)] * 512)
    kept.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (tmp_path / "itemwire.db").stat().st_size
    kept.tidy()
    kept.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    assert before > 10_000_000
    assert (tmp_path / "itemwire.db").stat().st_size < 6_000_000


def test_prunes_each_channel_to_bounds_of_its_own(connection: sqlite3.Connection) -> None:
    """A rule may give a channel less history than others, also by age."""
    kept = Kept(connection, OwnBounds())
    for name in ("few", "short", "other"):
        for _ in range(10):
            kept.shelf.add(at=f"item:42:{name}")
    kept.shelf.hands.now += 1

    kept.shelf.add(at="item:42:short")
    kept.tidy()

    rows = connection.execute(
        "SELECT name, count(*) FROM messages JOIN channels ON channel = channels.id "
        "GROUP BY name ORDER BY name"
    )
    assert rows.fetchall() == [("item:42:few", 3), ("item:42:other", 10), ("item:42:short", 1)]
