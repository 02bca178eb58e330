"""Connection slots are counted exactly, and no memory is kept for ended connections."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.limits.connections import (
    ConnectionLimits,
    ConnectionSlot,
    ConnectionSlots,
    max_sockets,
)
from itemwire.close_reasons import CONNECTION_LIMIT, OVERLOADED
from itemwire_auth.addresses import parse_networks

ALICE = (None, "alice")
BOB = (None, "bob")


def taken(slots: ConnectionSlots, host: str | None = "192.0.2.1") -> ConnectionSlot:
    """Take a place that there is."""
    slot = slots.acquire(host)
    assert isinstance(slot, ConnectionSlot)
    return slot


def test_there_are_so_many_in_all() -> None:
    """Past them `overloaded`, until a slot is released (requirement 96)."""
    slots = ConnectionSlots(ConnectionLimits(total=2))
    first, _ = taken(slots), taken(slots, "192.0.2.2")

    assert slots.acquire("192.0.2.3") is OVERLOADED
    first.release()
    taken(slots, "192.0.2.3")
    assert slots.refused == {"all": 1, "address": 0, "subject": 0}


@pytest.mark.parametrize(
    ("same", "other"),
    [
        pytest.param("192.0.2.1", "192.0.2.2", id="IPv4"),
        pytest.param("::ffff:192.0.2.1", "::ffff:192.0.2.2", id="mapped"),
        pytest.param("unix", "192.0.2.2", id="no address"),
    ],
)
def test_there_are_so_many_for_an_address(same: str, other: str) -> None:
    """Another address is not concerned (requirement 96)."""
    slots = ConnectionSlots(ConnectionLimits(per_address=1))
    first = taken(slots, same)

    assert slots.acquire(same) is CONNECTION_LIMIT
    taken(slots, other)
    first.release()
    taken(slots, same)


def test_the_part_of_an_address_that_its_owner_chooses_counts_for_nothing() -> None:
    """Of IPv6 the first 64 bits: the rest is as many addresses as one likes."""
    slots = ConnectionSlots(ConnectionLimits(per_address=1))
    taken(slots, "2001:db8::1")

    assert slots.acquire("2001:db8::2") is CONNECTION_LIMIT
    taken(slots, "2001:db8:0:1::1")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_this_machine_has_as_many_as_it_likes(host: str | None) -> None:
    """A proxy that tells no address speaks for everybody; they count in all, though."""
    exempt = parse_networks(["127.0.0.0/8", "::1"])
    slots = ConnectionSlots(ConnectionLimits(per_address=1, total=3, exempt=exempt))

    assert [taken(slots, host) for _ in range(3)]
    assert slots.acquire(host) is OVERLOADED
    assert not slots.by_address


def test_there_are_so_many_for_a_subject() -> None:
    """From whatever address; another issuer's `alice` is another (requirement 96)."""
    slots = ConnectionSlots(ConnectionLimits(per_subject=1))
    first, second, third = taken(slots), taken(slots, "192.0.2.2"), taken(slots)

    assert first.claim_for(ALICE)
    assert not second.claim_for(ALICE)
    assert second.claim_for(("issuer", "alice"))
    first.release()
    assert third.claim_for(ALICE)
    assert slots.refused == {"all": 0, "address": 0, "subject": 1}


def test_a_slot_refused_for_its_subject_is_still_to_be_released() -> None:
    """It has a socket until it has been told."""
    slots = ConnectionSlots(ConnectionLimits(total=2, per_subject=1))
    first, second = taken(slots), taken(slots)
    first.claim_for(ALICE)
    assert not second.claim_for(ALICE)
    assert slots.in_use == 2

    second.release()

    assert slots.in_use == 1
    assert slots.by_subject == {ALICE: 1}


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
    limits = ConnectionLimits(total=6, per_address=3, per_subject=2)
    slots, there, gone = (
        ConnectionSlots(limits),
        dict[ConnectionSlot, tuple[str, object]](),
        list[ConnectionSlot](),
    )
    for step, number, identity in steps:
        host = f"192.0.2.{number % 3}"
        if step == "come":
            full = len(there) >= 6 or [at for at, _ in there.values()].count(host) >= 3
            slot = slots.acquire(host)
            assert isinstance(slot, ConnectionSlot) != full
            if isinstance(slot, ConnectionSlot):
                there[slot] = (host, None)
        elif step == "go" and there:
            gone.append(list(there)[number % len(there)])
            del there[gone[-1]]
            gone[-1].release()
        elif step == "go again" and gone:
            gone[number % len(gone)].release()
        elif step == "claim" and there:
            slot = list(there)[number % len(there)]
            at, before = there[slot]
            full = [one for _, one in there.values()].count(identity) >= 2
            assert slot.claim_for(identity) == (before is not None or not full)
            there[slot] = (at, before if before or full else identity)
        assert slots.in_use == len(there)
        assert slots.by_address.total() == len(there)
        assert slots.by_subject.total() == sum(one is not None for _, one in there.values())

    for slot in there:
        slot.release()
    assert (slots.in_use, slots.by_address, slots.by_subject) == (0, {}, {})


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

    assert max_sockets() == sockets
