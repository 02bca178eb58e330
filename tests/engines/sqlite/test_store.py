"""What the SQLite engine stores: the bounds of histories, keys, notices and values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itemwire.engines.base import KEY_SECONDS, Bounds, ChannelBounds, EngineError, Span
from itemwire.engines.sqlite import store
from itemwire.engines.sqlite.file import SqliteFile, open_file
from itemwire.engines.sqlite.store import MessageEntry, SqliteStore, in_parts
from itemwire.messages import Position
from tests.engines.test_memory import naively_kept
from tests.fakes import CHANNEL, NOW, Clock

MESSAGE = '{"item":"42","sender":"alice","sent_at":1.5,"data":"x"}'


class Shelf(SqliteStore):
    """A store in a transaction that never ends, with a clock that the tests hold."""

    def __init__(self, connection: sqlite3.Connection, bounds: ChannelBounds) -> None:
        self.hands = Clock()
        super().__init__(connection, bounds, self.hands)

    def add(self, key: str | None = None, size: int = 1, at: str = CHANNEL) -> Position:
        """Publish one message."""
        ((position, _),) = self.publish([MessageEntry(at, key, size, MESSAGE)])
        return position

    def offsets(self, at: str = CHANNEL) -> list[int]:
        """List what is kept."""
        return [one.offset for one in self.read(at, Span(1000)).publications]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A file, open."""
    connection = open_file(SqliteFile(tmp_path / "itemwire.db"))
    yield connection
    connection.close()


@pytest.fixture
def shelf(connection: sqlite3.Connection) -> Shelf:
    """A store that remembers 100 messages for a minute."""
    return Shelf(connection, Bounds(100, 100_000, 60))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    published=st.lists(st.tuples(st.integers(0, 50), st.floats(0, 30)), max_size=30),
    messages=st.integers(0, 10),
    size=st.integers(0, 100),
    span=st.builds(
        Span,
        limit=st.integers(0, 12),
        after=st.none() | st.integers(0, 35) | st.just(2**70),
        before=st.none() | st.integers(0, 35) | st.just(2**70),
    ),
)
def test_reads_what_a_naive_model_reads(
    connection: sqlite3.Connection,
    published: list[tuple[int, float]],
    messages: int,
    size: int,
    span: Span,
) -> None:
    """The bounds hold at every time, though what is past them is deleted later."""
    shelf = Shelf(connection, Bounds(messages, size, 60))
    stored: list[tuple[float, int]] = []
    connection.execute("BEGIN")
    for length, pause in published:
        shelf.hands.now += pause
        shelf.add(size=length)
        stored.append((shelf.hands.now, length))
    history = shelf.read(CHANNEL, span)
    connection.execute("ROLLBACK")

    lowest = span.after or 0
    highest = len(stored) + 1 if span.before is None else span.before
    kept = naively_kept(stored, messages, size, shelf.hands.now - 60)
    within = [offset for offset in kept if lowest < offset < highest]
    found = within[: span.limit]
    if span.after is None:
        found = within[max(len(within) - span.limit, 0) :]
    asked = [one for one in range(1, len(stored) + 1) if lowest < one < highest]
    assert [one.offset for one in history.publications] == found
    assert history.complete == (found == asked)
    assert history.position.offset == len(stored)


def test_stores_more_at_once_than_one_statement_takes(shelf: Shelf) -> None:
    """A thousand of one channel, and one each of a thousand."""
    same = shelf.publish([MessageEntry(CHANNEL, str(n), 1, MESSAGE) for n in range(1300)])
    each = shelf.publish([MessageEntry(f"each:{n}", "k", 1, MESSAGE) for n in range(1300)])
    again = shelf.publish([MessageEntry(f"each:{n}", "k", 1, MESSAGE) for n in range(1300)])

    assert [position.offset for position, _ in same] == list(range(1, 1301))
    assert [(position.offset, is_new) for position, is_new in each] == [(1, True)] * 1300
    assert again == [(position, False) for position, _ in each]
    assert shelf.offsets() == list(range(1201, 1301))


def test_knows_a_key_that_comes_twice_at_once(shelf: Shelf) -> None:
    """A client that retries is quick."""
    placed = shelf.publish(
        [MessageEntry(CHANNEL, key, 1, MESSAGE) for key in ("a", "b", "a", None, "b")]
    )

    assert [(position.offset, is_new) for position, is_new in placed] == [
        (1, True),
        (2, True),
        (1, False),
        (3, True),
        (2, False),
    ]


def test_remembers_a_key_for_five_minutes_and_then_no_longer(shelf: Shelf) -> None:
    """Also where nobody has come to delete it yet."""
    first = shelf.add("k")
    shelf.hands.now = NOW + KEY_SECONDS - 0.1
    within = shelf.add("k")
    shelf.hands.now = NOW + KEY_SECONDS + 0.1
    after = [shelf.add("k").offset, shelf.add("k").offset]

    assert (within, after) == (first, [2, 2])


def test_bounds_the_keys_it_remembers(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """By channel; messages without a key do not count."""
    monkeypatch.setattr(store, "MAX_KEYS", 10)
    for number in range(25):
        shelf.add(str(number))
        shelf.add()

    known = [shelf.add(str(number)).offset for number in range(15, 25)]
    assert known == list(range(31, 51, 2))
    assert shelf.add("14").offset == 51


def test_refuses_a_notice_that_it_has_no_room_for(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropping one in silence would let a revoked token in after a restart."""
    monkeypatch.setattr(store, "MAX_NOTICES", 2)
    answers = [shelf.post(b"", until) for until in (NOW + 9, NOW + 9, NOW + 9, NOW)]

    assert [answer is None for answer in answers] == [True, True, False, True]


def test_bounds_the_values_it_keeps(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood is refused, not stored in place of what is waiting; what is taken makes room."""
    monkeypatch.setattr(store, "MAX_VALUES_BYTES", 2 * (store.VALUE_BYTES + 10))
    kept = [shelf.put(key, b"x" * 10, 30) for key in "aabc"]  # one takes the other's place
    taken = shelf.take("a")

    assert [isinstance(one, EngineError) for one in kept] == [False, False, False, True]
    assert taken == b"x" * 10
    assert shelf.put("c", b"x" * 10, 30) is None


def test_keeps_a_value_for_so_many_seconds(shelf: Shelf) -> None:
    """Also where nobody has come to delete it yet."""
    for key, seconds in (("long", 60), ("short", 10)):
        shelf.put(key, b"v", seconds)
    shelf.hands.now = NOW + 10

    assert [shelf.take("short"), shelf.take("long")] == [None, b"v"]


def test_takes_back_all_of_a_transaction_that_failed(shelf: Shelf) -> None:
    """Offsets that were given out in it are given to others; so is the room."""

    def fail() -> None:
        with shelf.transaction():
            shelf.add("k")
            shelf.post(b"n", NOW + 9)
            shelf.put("v", b"v", 9)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with shelf.transaction():
        found = shelf.add("k").offset, shelf.notices(), shelf.take("v")

    assert found == (1, [], None)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 511, 512, 513, 1300])
def test_cuts_rows_into_few_sizes(count: int) -> None:
    """Each size is a statement to prepare; together they are all rows, in their order."""
    parts = list(in_parts(range(count)))

    assert [row for part in parts for row in part] == list(range(count))
    assert {len(part) for part in parts} <= {1 << power for power in range(10)}
