"""Which connections are on a node, and how they are found."""

from __future__ import annotations

import time

from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.messages import Member
from itemwire_auth.revocation import Revocation
from tests.fakes import CHANNEL, JSON, NOW, RecordingTransport, Stage, principal


def filled(ids: list[str], subject: str = "alice") -> ConnectionRegistry:
    """Make a registry of connections with these ids."""
    registry, node = ConnectionRegistry(), Stage().node
    for id_ in ids:
        registry.add(
            Connection(
                node,
                connection_id=id_,
                principal=principal(subject),
                codec=JSON,
                transport=RecordingTransport(),
            )
        )
    return registry


def ids_of(connections: list[Connection]) -> list[str]:
    """List the ids of connections."""
    return [one.id for one in connections]


def test_finds_who_is_there_by_id_and_nobody_else() -> None:
    """Also after some have gone, which may be told twice."""
    registry = filled(["a", "b"])
    gone = registry.find("a")
    assert gone is not None

    registry.discard(gone)
    registry.discard(gone)

    assert registry.find("a") is None
    assert registry.find("b") is not None
    assert len(registry) == 1


def test_keeps_addresses_only_where_operators_may_look() -> None:
    """And of nobody who is gone."""
    registry = filled(["a", "b"])
    here, gone = registry.page(2)
    registry.note_address(here, "192.0.2.1")
    unkept = registry.address_of(here), registry.keeps_addresses
    registry.keep_addresses()
    registry.discard(gone)
    for one in (here, gone):
        registry.note_address(one, "192.0.2.7")
    registry.keep_addresses()
    kept = [registry.address_of(one) for one in (here, gone)]
    registry.discard(here)

    assert unkept == (None, False)
    assert (kept, registry.keeps_addresses) == (["192.0.2.7", None], True)
    assert registry.address_of(here) is None


def test_pages_through_everybody_once() -> None:
    """In the order of the ids, so that a connection that stays is on exactly one page."""
    registry = filled(["d", "a", "c", "b"])
    first = registry.page(2)
    registry.discard(first[1])

    assert ids_of(first) == ["a", "b"]
    assert ids_of(registry.page(2, after="b")) == ["c", "d"]
    assert registry.page(2, after="d") == []


def test_finds_whose_token_is_taken_back() -> None:
    """By what the token says, whichever connection it is."""
    registry = filled(["a", "b"])

    assert ids_of(registry.covered_by(Revocation(NOW, subject="alice"))) == ["a", "b"]
    assert registry.covered_by(Revocation(NOW, subject="bob")) == []


def test_looks_through_ten_thousand_in_a_moment() -> None:
    """The event loop stands still meanwhile: 1 ms as measured, and never many times that."""
    registry = filled([f"c{number}" for number in range(10_000)])
    taken = []
    for _ in range(5):
        begun = time.thread_time()
        assert registry.covered_by(Revocation(NOW, subject="bob", issued_before=NOW)) == []
        taken.append(time.thread_time() - begun)

    assert min(taken) < 0.1


def test_finds_the_newest_connections_past_what_is_allowed() -> None:
    """Those that were there first stay; callers that are not named are not concerned."""
    registry = filled(["d", "a", "c", "b"])

    assert ids_of(registry.newest_above({(None, "alice"): 2})) == ["c", "b"]
    assert registry.newest_above({(None, "alice"): 4}) == []
    assert registry.newest_above({(None, "bob"): 0, ("issuer", "alice"): 0}) == []


def test_finds_the_subscription_of_a_member_by_its_id() -> None:
    """Also of one that continues as the member of an earlier connection, whatever its subject."""
    stage = Stage()
    own, taken_over = stage.join("alice"), stage.join("bob")
    taken_over.session.subscription.member = Member("earlier", "bob")
    registry = stage.node._registry

    found = [
        registry.find_member(CHANNEL, Member(id_, "another")) for id_ in ("c1", "earlier", "c2")
    ]

    assert found == [own.session.subscription, taken_over.session.subscription, None]
    assert registry.find_member("item:other", own.session.subscription.member) is None
