"""Who is connected to a node, and how they are found."""

from __future__ import annotations

import time

from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.registry import Roster
from itemwire_auth.revocation import Revocation
from tests.fakes import JSON, NOW, RecordingTransport, Stage, principal


def filled(ids: list[str], subject: str = "alice") -> Roster:
    """Make a roster of connections with these ids."""
    roster, node = Roster(), Stage().node
    for id_ in ids:
        roster.add(
            Connection(
                node,
                connection_id=id_,
                principal=principal(subject),
                codec=JSON,
                transport=RecordingTransport(),
            )
        )
    return roster


def ids_of(connections: list[Connection]) -> list[str]:
    """List the ids of connections."""
    return [one.id for one in connections]


def test_finds_who_is_there_by_id_and_nobody_else() -> None:
    """Also after some have gone, which may be told twice."""
    roster = filled(["a", "b"])
    gone = roster.find("a")
    assert gone is not None

    roster.discard(gone)
    roster.discard(gone)

    assert roster.find("a") is None
    assert roster.find("b") is not None
    assert len(roster) == 1


def test_pages_through_everybody_once() -> None:
    """In the order of the ids, so that who stays is on one page whoever comes and goes."""
    roster = filled(["d", "a", "c", "b"])
    first = roster.page(2)
    roster.discard(first[1])

    assert ids_of(first) == ["a", "b"]
    assert ids_of(roster.page(2, after="b")) == ["c", "d"]
    assert roster.page(2, after="d") == []


def test_finds_whose_token_is_taken_back() -> None:
    """By what the token says, whichever connection it is."""
    roster = filled(["a", "b"])

    assert ids_of(roster.covered_by(Revocation(NOW, subject="alice"))) == ["a", "b"]
    assert roster.covered_by(Revocation(NOW, subject="bob")) == []


def test_looks_through_ten_thousand_in_a_moment() -> None:
    """The event loop stands still meanwhile: 1 ms as measured, and never many times that."""
    roster = filled([f"c{number}" for number in range(10_000)])
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        assert roster.covered_by(Revocation(NOW, subject="bob", issued_before=NOW)) == []
        taken.append(time.perf_counter() - begun)

    assert min(taken) < 0.1
