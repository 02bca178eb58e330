"""Places: counted exactly, whatever comes and goes, and nothing kept of who is gone."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.limits.connections import Place, PlaceLimits, Places, most_sockets
from itemwire.close_reasons import CONNECTION_LIMIT, OVERLOADED
from itemwire_auth.throttle import parse_networks

ALICE = (None, "alice")
BOB = (None, "bob")


def taken(places: Places, host: str | None = "192.0.2.1") -> Place:
    """Take a place that there is."""
    place = places.take(host)
    assert isinstance(place, Place)
    return place


def test_there_are_so_many_in_all() -> None:
    """Past them `overloaded`, until one is given back (requirement 96)."""
    places = Places(PlaceLimits(in_all=2))
    first, _ = taken(places), taken(places, "192.0.2.2")

    assert places.take("192.0.2.3") is OVERLOADED
    first.give_back()
    taken(places, "192.0.2.3")
    assert places.refused == {"all": 1, "address": 0, "subject": 0}


@pytest.mark.parametrize(
    ("same", "other"),
    [
        pytest.param("192.0.2.1", "192.0.2.2", id="IPv4"),
        pytest.param("::ffff:192.0.2.1", "::ffff:192.0.2.2", id="mapped"),
        pytest.param("unix", "elsewhere", id="no address"),
    ],
)
def test_there_are_so_many_for_an_address(same: str, other: str) -> None:
    """Another address is not concerned (requirement 96)."""
    places = Places(PlaceLimits(of_address=1))
    first = taken(places, same)

    assert places.take(same) is CONNECTION_LIMIT
    taken(places, other)
    first.give_back()
    taken(places, same)


def test_the_part_of_an_address_that_its_owner_chooses_counts_for_nothing() -> None:
    """Of IPv6 the first 64 bits: the rest is as many addresses as one likes."""
    places = Places(PlaceLimits(of_address=1))
    taken(places, "2001:db8::1")

    assert places.take("2001:db8::2") is CONNECTION_LIMIT
    taken(places, "2001:db8:0:1::1")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_this_machine_has_as_many_as_it_likes(host: str | None) -> None:
    """A proxy that tells no address speaks for everybody; they count in all, though."""
    exempt = parse_networks(["127.0.0.0/8", "::1"])
    places = Places(PlaceLimits(of_address=1, in_all=3, exempt=exempt))

    assert [taken(places, host) for _ in range(3)]
    assert places.take(host) is OVERLOADED
    assert not places.of_address


def test_there_are_so_many_for_a_subject() -> None:
    """From whatever address; another issuer's `alice` is another (requirement 96)."""
    places = Places(PlaceLimits(of_subject=1))
    first, second, third = taken(places), taken(places, "192.0.2.2"), taken(places)

    assert first.claim(ALICE)
    assert not second.claim(ALICE)
    assert second.claim(("issuer", "alice"))
    first.give_back()
    assert third.claim(ALICE)
    assert places.refused == {"all": 0, "address": 0, "subject": 1}


def test_who_was_refused_as_a_subject_still_has_its_place_to_give_back() -> None:
    """It has a socket until it has been told."""
    places = Places(PlaceLimits(in_all=2, of_subject=1))
    first, second = taken(places), taken(places)
    first.claim(ALICE)
    assert not second.claim(ALICE)
    assert places.taken == 2

    second.give_back()

    assert places.taken == 1
    assert places.of_subject == {ALICE: 1}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["come", "go", "go again", "claim"]),
            st.integers(0, 9),
            st.sampled_from([ALICE, BOB]),
        ),
        max_size=80,
    )
)
def test_counts_exactly_what_is_there(
    steps: list[tuple[str, int, tuple[str | None, str]]],
) -> None:
    """Against a plain list of who is there, after every step; and nothing is left at the end."""
    limits = PlaceLimits(in_all=6, of_address=3, of_subject=2)
    places, there, gone = Places(limits), dict[Place, tuple[str, object]](), list[Place]()
    for step, number, identity in steps:
        host = f"192.0.2.{number % 3}"
        if step == "come":
            full = len(there) >= 6 or [at for at, _ in there.values()].count(host) >= 3
            place = places.take(host)
            assert isinstance(place, Place) != full
            if isinstance(place, Place):
                there[place] = (host, None)
        elif step == "go" and there:
            gone.append(list(there)[number % len(there)])
            del there[gone[-1]]
            gone[-1].give_back()
        elif step == "go again" and gone:
            gone[number % len(gone)].give_back()
        elif step == "claim" and there:
            place = list(there)[number % len(there)]
            at, before = there[place]
            full = [one for _, one in there.values()].count(identity) >= 2
            assert place.claim(identity) == (before is not None or not full)
            there[place] = (at, before if before or full else identity)
        assert places.taken == len(there)
        assert places.of_address.total() == len(there)
        assert places.of_subject.total() == sum(one is not None for _, one in there.values())

    for place in there:
        place.give_back()
    assert (places.taken, places.of_address, places.of_subject) == (0, {}, {})


@pytest.mark.parametrize(
    ("files", "sockets"),
    [
        pytest.param(1024, 896, id="a shell's"),
        pytest.param(100, 68, id="few"),
        pytest.param(16, 1, id="too few"),
        pytest.param(1_048_576, 1_047_552, id="a server's"),
        pytest.param(resource.RLIM_INFINITY, 0, id="any"),
    ],
)
def test_leaves_some_descriptors_to_others(
    monkeypatch: pytest.MonkeyPatch, files: int, sockets: int
) -> None:
    """Without one, nobody is even told: `accept` fails, the log and the engine too."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, resource.RLIM_INFINITY))

    assert most_sockets() == sockets
