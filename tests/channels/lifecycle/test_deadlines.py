"""When each connection's time is up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.deadlines import Deadlines
from tests.fakes import JSON, RecordingTransport, Stage, principal


def connection(expires_at: int) -> Connection:
    """Make a connection whose token expires then."""
    return Connection(
        Stage().node,
        connection_id="c1",
        principal=principal(expires_at=expires_at),
        codec=JSON,
        transport=RecordingTransport(),
    )


def test_gives_a_connection_at_its_second_and_not_before() -> None:
    """A token is good before its `exp` and not at it (RFC 7519 section 4.1.4)."""
    deadlines = Deadlines()
    due = connection(100)
    deadlines.add(due)

    assert deadlines.pop_due(99.999) == []
    assert deadlines.pop_due(100.0) == [due]


def test_gives_a_connection_once() -> None:
    """Its end is over: a second one would be noise in the log."""
    deadlines = Deadlines()
    deadlines.add(connection(100))
    deadlines.pop_due(100)

    assert deadlines.pop_due(1000) == []


def test_gives_nothing_for_a_connection_that_left() -> None:
    """Another deadline of the same second is still due."""
    deadlines = Deadlines()
    left, stayed = connection(100), connection(100)
    deadlines.add(left)
    deadlines.add(stayed)
    deadlines.discard(left)

    assert deadlines.pop_due(100) == [stayed]


def test_takes_a_connection_of_a_second_that_is_past() -> None:
    """A handshake may take so long that the token expires in it: no immortal socket."""
    deadlines = Deadlines()
    deadlines.add(connection(100))
    deadlines.pop_due(200)
    late = connection(100)
    deadlines.add(late)

    assert deadlines.pop_due(200) == [late]


def test_forgets_a_connection_twice_without_complaint() -> None:
    """A connection that is ended because it was due is also released."""
    deadlines = Deadlines()
    due = connection(100)
    deadlines.add(due)
    deadlines.pop_due(100)
    deadlines.discard(due)
    deadlines.discard(due)

    assert deadlines.pop_due(1000) == []


def test_keeps_no_second_in_which_nobody_is_due() -> None:
    """Month-long tokens of connections that come and go would fill the memory for a month."""
    deadlines = Deadlines()
    for second in range(1000):
        passing = connection(1_000_000 + second)
        deadlines.add(passing)
        deadlines.discard(passing)

    assert len(deadlines._due) < 10


@given(
    seconds=st.lists(st.integers(0, 20)),
    gone=st.sets(st.integers(0, 20)),
    ticks=st.lists(st.floats(0, 25), max_size=5),
)
def test_agrees_with_a_naive_list(seconds: list[int], gone: set[int], ticks: list[float]) -> None:
    """Everybody is due exactly once, at the first tick that is not before their second."""
    deadlines = Deadlines()
    expected = {connection(second): second for second in seconds}
    for one in expected:
        deadlines.add(one)
    for one, second in list(expected.items()):
        if second in gone:
            deadlines.discard(one)
            del expected[one]

    for now in ticks:
        due = {one for one, second in expected.items() if second <= now}
        popped = deadlines.pop_due(now)
        assert len(popped) == len(due)
        assert set(popped) == due
        for one in due:
            del expected[one]
