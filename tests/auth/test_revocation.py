"""Tests of revocation.py: a revoked token is refused until it would have expired anyway."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire_auth.principal import Principal
from itemwire_auth.revocation import Revocation, Revocations
from itemwire_auth.rights import ScopeSet
from tests.fakes import NOW, Clock

ISSUER = "https://issuer.test"
LATER = NOW + 100


def holder(
    subject: str = "alice",
    *,
    token_id: str | None = "t1",  # noqa: S107 - a name, not a secret
    issuer: str | None = ISSUER,
    issued_at: int = int(NOW),
    session: object = "s1",
) -> Principal:
    """Return the principal of a good token."""
    return Principal(
        issuer,
        subject,
        ScopeSet(),
        int(NOW) + 300,
        token_id=token_id,
        claims={"sid": session} if session is not None else {},
        issued_at=issued_at,
    )


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def revocations(clock: Clock) -> Revocations:
    """Return a table with nothing in it."""
    return Revocations(clock=clock)


@pytest.mark.parametrize(
    ("revocation", "others"),
    [
        pytest.param(
            Revocation(LATER, token_id="t1", issuer=ISSUER),
            [holder(token_id="t2"), holder(token_id=None), holder(issuer="https://b.test")],
            id="token",
        ),
        pytest.param(
            Revocation(LATER, token_id="t1"),
            [holder(token_id="t2"), holder(token_id=None), holder("t1", token_id="alice")],
            id="token-of-whichever-issuer",
        ),
        pytest.param(
            Revocation(LATER, subject="alice", issuer=ISSUER),
            [holder("bob"), holder("Alice"), holder(issuer=None)],
            id="subject",
        ),
        pytest.param(
            Revocation(LATER, subject="alice"),
            [holder("bob"), holder("t1", token_id="alice")],
            id="subject-of-whichever-issuer",
        ),
        pytest.param(
            Revocation(LATER, session="s1", issuer=ISSUER),
            [holder(session="s2"), holder(session=None), holder(issuer="https://b.test")],
            id="session",
        ),
        pytest.param(
            Revocation(LATER, session="s1"),
            [holder(session="s2"), holder(session=None), holder("s1", token_id="s1", session="")],
            id="session-of-whichever-issuer",
        ),
        pytest.param(
            Revocation(LATER, subject="alice", issued_before=NOW + 1),
            [holder("bob"), holder(issued_at=int(NOW) + 1), holder(issued_at=int(NOW) + 2)],
            id="issued-before",
        ),
    ],
)
def test_takes_back_what_it_names_and_nothing_else(
    revocation: Revocation, others: list[Principal], revocations: Revocations
) -> None:
    """By token, by subject, and by subject and date of issue (requirement 70)."""
    assert not revocations.revokes(holder())

    assert revocations.add(revocation)

    assert revocations.revokes(holder())
    assert not any(map(revocations.revokes, others))


def test_a_token_that_does_not_say_when_it_was_issued_is_as_old_as_any(
    revocations: Revocations,
) -> None:
    """Else leaving `iat` out would make a token that survives every logout."""
    revocations.add(Revocation(LATER, subject="alice", issued_before=1))

    assert revocations.revokes(holder(issued_at=0))
    assert not revocations.revokes(holder(issued_at=1))


def test_ends_when_the_tokens_have_expired(clock: Clock, revocations: Revocations) -> None:
    """Not a moment earlier, and without anybody's doing."""
    revocations.add(Revocation(LATER, token_id="t1"))
    clock.now = LATER - 0.001
    assert revocations.revokes(holder())

    clock.now = LATER

    assert not revocations.revokes(holder())


def test_knows_when_every_token_of_today_has_expired(clock: Clock) -> None:
    """What a revocation without an end of its own is kept for."""
    assert Revocations(longest_life=60, clock=clock).end_of_life() == NOW + 60


@pytest.mark.parametrize(
    ("token_id", "subject", "session", "issued_before"),
    [
        pytest.param(None, None, None, None, id="nothing"),
        pytest.param("t1", "alice", None, None, id="both"),
        pytest.param("t1", "alice", "s1", None, id="all"),
        pytest.param(None, "alice", "s1", None, id="a-session-and-a-subject"),
        pytest.param("t1", None, None, 5.0, id="a-token-by-date"),
        pytest.param(None, None, "s1", 5.0, id="a-session-by-date"),
    ],
)
def test_cannot_be_made_of_what_says_nothing_certain(
    token_id: str | None, subject: str | None, session: str | None, issued_before: float | None
) -> None:
    """One that names nobody would end every socket there is."""
    with pytest.raises(ValueError, match=r"one of these|goes with a subject"):
        Revocation(LATER, token_id, subject, None, issued_before, session)


def test_a_short_ban_does_not_shorten_a_long_revocation_nor_the_other_way_round(
    clock: Clock, revocations: Revocations
) -> None:
    """Logged out everywhere for a month, and locked out for a minute: both are meant."""
    revocations.add(Revocation(NOW + 1000, subject="alice", issued_before=NOW))
    revocations.add(Revocation(NOW + 60, subject="alice"))
    old, new = holder(issued_at=int(NOW) - 1), holder(issued_at=int(NOW))
    during = revocations.revokes(old), revocations.revokes(new)
    clock.now = NOW + 60

    assert during == (True, True)
    assert (revocations.revokes(old), revocations.revokes(new)) == (True, False)


def test_saying_it_again_takes_no_more_memory(revocations: Revocations) -> None:
    """Every node hears of each revocation, perhaps twice; some callers log out daily."""
    for day in range(100):
        revocations.add(Revocation(LATER + day, subject="alice", issued_before=NOW - 100 + day))
        revocations.add(Revocation(LATER, token_id="t1"))

    assert revocations.count == 2


@pytest.mark.parametrize(("ahead", "count"), [(-1, 0), (0, 0), (1, 1)])
def test_a_revocation_that_is_over_takes_no_place(
    ahead: float, count: int, revocations: Revocations
) -> None:
    """In the very second it ends, too: its tokens have expired (requirement 70)."""
    assert revocations.add(Revocation(NOW + ahead, token_id="t1"))

    assert revocations.count == count


def test_a_full_table_refuses_and_forgets_nothing(clock: Clock) -> None:
    """A revocation that is dropped in silence lets a thief in (requirement 74)."""
    revocations = Revocations(max_entries=10, clock=clock)
    taken = [revocations.add(Revocation(LATER, token_id=f"t{n}")) for n in range(12)]

    assert taken == [True] * 10 + [False] * 2
    assert all(revocations.revokes(holder(token_id=f"t{n}")) for n in range(10))
    assert revocations.add(Revocation(LATER + 1, token_id="t3"))  # it takes its own place
    clock.now = LATER
    assert revocations.add(Revocation(LATER + 1, token_id="t11"))
    assert revocations.count == 2


def test_memory_is_that_of_the_revocations_in_force(clock: Clock) -> None:
    """A table that only grows is full one day."""
    revocations = Revocations(clock=clock)
    for number in range(20_000):
        clock.now = NOW + number
        revocations.add(Revocation(clock.now + 10, token_id=f"t{number}"))

    assert revocations.count <= 1024


revocation_of = st.builds(
    Revocation,
    until=st.integers(0, 20).map(lambda ahead: NOW + ahead),
    subject=st.sampled_from(["alice", "bob"]),
    issuer=st.sampled_from([None, "a", "b"]),
    issued_before=st.none() | st.integers(0, 10).map(float),
)


@given(
    added=st.lists(revocation_of, max_size=30),
    asked_at=st.integers(0, 21),
    issued_at=st.integers(0, 10),
    issuer=st.sampled_from([None, "a", "b"]),
)
def test_agrees_with_a_list_that_is_looked_through(
    added: list[Revocation], asked_at: int, issued_at: int, issuer: str | None
) -> None:
    """Whatever was left out as saying nothing new said nothing new."""
    clock = Clock()
    revocations = Revocations(clock=clock)
    for one in added:
        revocations.add(one)
    clock.now = NOW + asked_at
    principal = holder(issuer=issuer, issued_at=issued_at)

    expected = any(one.until > clock.now and one.covers(principal) for one in added)
    assert revocations.revokes(principal) == expected


def test_tells_the_time_that_it_goes_by(clock: Clock, revocations: Revocations) -> None:
    """What else ends at a time is judged by the same clock."""
    assert revocations.now() == clock.now


def test_without_a_bound_on_lifetimes_a_revocation_lasts_a_month(clock: Clock) -> None:
    """Longer than any token that a server accepts by default."""
    assert Revocations(clock=clock).end_of_life() == clock.now + 30 * 24 * 3600


@pytest.mark.parametrize("times", [("sooner", "later"), ("later", "sooner")])
def test_a_full_table_takes_one_more_of_a_subject_only_in_place_of_another(
    clock: Clock, times: tuple[str, str]
) -> None:
    """Several of one subject count each; one that says more takes the place of what it includes."""
    table = Revocations(clock=clock, max_entries=2)
    until = {"sooner": LATER, "later": LATER + 50}
    cut = {"sooner": int(NOW) - 50, "later": int(NOW) - 10}
    first = Revocation(until[times[0]], subject="alice", issued_before=cut[times[1]])
    second = Revocation(until[times[1]], subject="alice", issued_before=cut[times[0]])
    third = Revocation(LATER + 99, subject="alice", issued_before=int(NOW) - 99)
    all_ = Revocation(LATER + 99, subject="alice")

    assert [table.add(one) for one in (first, second, third)] == [True, True, False]
    assert table.count == 2
    assert table.add(all_)
    assert table.count == 1
