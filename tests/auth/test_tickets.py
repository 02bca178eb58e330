"""Tests of tickets.py: valid once, for a short time, in one place and for one caller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from itemwire_auth.errors import AuthError, InvalidTicket, InvalidToken, Unavailable
from itemwire_auth.principal import Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tickets import Ticket, Tickets, TicketStore
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import NOW

APP = "https://app.example.com"
ALICE = Principal("https://issuer.test", "alice", ScopeSet(), NOW + 300, "t1", {"sub": "alice"})


class Store(TicketStore):
    """A store in memory that keeps things too long, as a store at fault would."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.seconds: list[float] = []
        self.asked = 0

    @override
    async def put(self, key: str, value: bytes, seconds: float) -> None:
        self.kept[key] = value
        self.seconds.append(seconds)

    @override
    async def take(self, key: str) -> bytes | None:
        self.asked += 1
        await asyncio.sleep(0)  # others get a turn, as they do while a real store is asked
        return self.kept.pop(key, None)


class Away(TicketStore):
    """A store that cannot be reached."""

    @override
    async def put(self, key: str, value: bytes, seconds: float) -> None:
        raise Unavailable("away")

    @override
    async def take(self, key: str) -> bytes | None:
        raise Unavailable("away")


@pytest.fixture
def store() -> Store:
    """Return an empty store."""
    return Store()


@pytest.fixture
def tickets(store: Store) -> Tickets:
    """Return tickets whose clock stands still."""
    return Tickets(store, clock=lambda: NOW)


def make(
    tickets: Tickets,
    principal: Principal = ALICE,
    item_id: str | None = None,
    origin: str | None = None,
) -> Ticket:
    """Make one ticket."""
    return asyncio.run(tickets.make(principal, item_id=item_id, origin=origin))


def test_a_credential_is_kept_for_the_ticket_alone(store: Store, tickets: Tickets) -> None:
    """Who reads the store, or takes the entry of another ticket, cannot read it."""
    one = asyncio.run(tickets.make(ALICE, credential=b"sid=secret"))
    other = asyncio.run(tickets.make(ALICE, credential=b"sid=other"))
    assert not any(b"secret" in entry or b"sid" in entry for entry in store.kept.values())

    first, second = store.kept
    store.kept[second] = store.kept[first]
    redeemed = asyncio.run(tickets.redeem(one.value, item_id=None, origins=[]))
    assert (redeemed.principal, redeemed.credential) == (ALICE, b"sid=secret")
    with pytest.raises(InvalidTicket, match="another credential"):
        asyncio.run(tickets.redeem(other.value, item_id=None, origins=[]))


def use(tickets: Tickets, value: str, item_id: str | None = "42", *origins: str) -> Principal:
    """Present a ticket."""
    return asyncio.run(tickets.use(value, item_id=item_id, origins=origins))


def test_names_the_caller_it_was_made_for(
    tickets: Tickets, verifier: TokenVerifier, factory: TokenFactory
) -> None:
    """The very principal that the token gave: its rights, its end, its claims, its id."""
    token = factory.good(
        jti="t1",
        scope="items:subscribe admin items:team:*:publish",
        items={"42": ["history"], "a:*": ["presence"]},
        roles=["a", {"b": None}],
    )
    principal = verifier.verify(token)

    again = use(tickets, make(tickets, principal).value)

    assert again == principal
    assert again.rights == principal.rights
    assert again.rights.admin
    assert again.claims["roles"] == ("a", {"b": None})
    assert isinstance(again.claims, MappingProxyType)  # because others are shown it as well


segments = st.text("ab*~", min_size=1, max_size=2)


@given(
    scope=st.lists(
        st.builds(
            "items:{}:{}".format,
            st.lists(segments, min_size=1, max_size=3).map(":".join),
            st.sampled_from(Action),
        )
    ).map(" ".join),
    admin=st.booleans(),
)
def test_gives_every_right_back(scope: str, admin: bool) -> None:
    """No more and no fewer, whatever the patterns are."""
    rights = ScopeSet.of_claims(f"{scope} admin" if admin else scope)
    tickets = Tickets(Store(), clock=lambda: NOW)

    again = use(tickets, make(tickets, Principal(None, "a", rights, NOW + 9)).value)

    assert again.rights == rights


def test_is_good_once(tickets: Tickets) -> None:
    """Who finds it in a log afterwards finds nothing (requirement 22)."""
    value = make(tickets).value

    assert use(tickets, value).subject == "alice"
    with pytest.raises(InvalidTicket):
        use(tickets, value)


def test_lets_one_of_fifty_in(tickets: Tickets) -> None:
    """All at the same time: who takes it out of the store has it (requirement 22)."""
    value = make(tickets).value

    async def race() -> list[Principal | BaseException]:
        tries = [tickets.use(value, item_id="42", origins=[]) for _ in range(50)]
        return await asyncio.gather(*tries, return_exceptions=True)

    outcomes = asyncio.run(race())

    assert [one for one in outcomes if isinstance(one, Principal)] == [ALICE]
    assert sum(isinstance(one, InvalidTicket) for one in outcomes) == 49


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("A" * 43, id="unknown"),
        pytest.param("A" * 42, id="short"),
        pytest.param("A" * 44, id="long"),
        pytest.param("A" * 42 + "=", id="padding"),
        pytest.param("A" * 42 + " ", id="white-space"),
        pytest.param("A" * 43 + "\n", id="line-break"),
        pytest.param("ä" * 43, id="not-ascii"),
        pytest.param("\ud800" * 43, id="surrogates"),
        pytest.param("ticket:" + "A" * 36, id="key-of-the-store"),
        pytest.param("A" * 1_000_000, id="endless"),
    ],
)
def test_refuses_what_is_no_ticket(value: str, tickets: Tickets) -> None:
    """One reason for all: what it was not is nobody's business."""
    with pytest.raises(InvalidTicket) as refused:
        use(tickets, value)

    assert refused.value.code == "ticket_invalid"


def test_asks_the_store_only_about_what_can_be_a_ticket(tickets: Tickets, store: Store) -> None:
    """A stranger's nonsense costs no round trip."""
    for value in ("", "x", "A" * 44, "*" * 43):
        with pytest.raises(InvalidTicket):
            use(tickets, value)

    assert store.asked == 0


ITEM_42 = {"item_id": "42"}
FROM_APP = {"origin": APP}


@pytest.mark.parametrize(
    ("bound", "item_id", "origins", "is_good"),
    [
        pytest.param({}, "42", [], True, id="free"),
        pytest.param({}, None, ["https://evil.test"], True, id="free-anywhere"),
        pytest.param(ITEM_42, "42", [], True, id="item"),
        pytest.param(ITEM_42, "43", [], False, id="other-item"),
        pytest.param(ITEM_42, "42:a", [], False, id="item-as-prefix"),
        pytest.param(ITEM_42, None, [], False, id="no-item"),
        pytest.param(FROM_APP, "42", [APP], True, id="origin"),
        pytest.param(FROM_APP, "42", ["HTTPS://APP.example.com:443"], True, id="origin-respelt"),
        pytest.param({"origin": f"{APP}:443"}, "42", [APP], True, id="port-left-out"),
        pytest.param(FROM_APP, "42", ["https://evil.test"], False, id="other-origin"),
        pytest.param(FROM_APP, "42", ["http://app.example.com"], False, id="other-scheme"),
        pytest.param(FROM_APP, "42", [f"{APP}:8443"], False, id="other-port"),
        pytest.param(FROM_APP, "42", [f"{APP}.evil.test"], False, id="origin-as-prefix"),
        pytest.param(FROM_APP, "42", [], False, id="no-origin"),
        pytest.param(FROM_APP, "42", ["null"], False, id="null"),
        pytest.param(FROM_APP, "42", [""], False, id="empty-origin"),
        pytest.param(FROM_APP, "42", [APP, APP], False, id="two-origins"),
        pytest.param(ITEM_42 | FROM_APP, "42", [APP], True, id="both"),
        pytest.param(ITEM_42 | FROM_APP, "43", [APP], False, id="both-other-item"),
        pytest.param(ITEM_42 | FROM_APP, "42", [], False, id="both-no-origin"),
    ],
)
def test_is_good_where_it_was_made_for(
    bound: dict[str, str],
    item_id: str | None,
    origins: Sequence[str],
    is_good: bool,
    tickets: Tickets,
) -> None:
    """Bound to an item or a page, it is worth nothing elsewhere (requirement 23)."""
    value = make(tickets, item_id=bound.get("item_id"), origin=bound.get("origin")).value

    outcome: Principal | AuthError
    try:
        outcome = use(tickets, value, item_id, *origins)
    except AuthError as error:
        outcome = error

    assert isinstance(outcome, Principal if is_good else InvalidTicket)


def test_is_spent_at_the_wrong_place(tickets: Tickets) -> None:
    """It cannot be tried at one item after the other until it fits."""
    value = make(tickets, item_id="42").value

    with pytest.raises(InvalidTicket, match="made for the item '42'"):
        use(tickets, value, "43")
    with pytest.raises(InvalidTicket, match="unknown, used or expired"):
        use(tickets, value, "42")


@pytest.mark.parametrize("origin", ["null", "", "example.com", f"{APP}/path", "file://", "*"])
def test_is_bound_to_no_origin_that_is_none(origin: str, tickets: Tickets) -> None:
    """Such a ticket would be good nowhere; its request is refused at once."""
    with pytest.raises(ValueError, match="origin"):
        make(tickets, origin=origin)


@pytest.mark.parametrize(
    ("left", "leeway", "kept_for"),
    [
        pytest.param(300, 0, 30, id="long-token"),
        pytest.param(30, 0, 30, id="same"),
        pytest.param(5, 0, 5, id="short-token"),
        pytest.param(5, 3, 8, id="short-token-and-leeway"),
        pytest.param(-2, 3, 1, id="within-the-leeway"),
    ],
)
def test_lives_no_longer_than_its_token(
    left: int, leeway: float, kept_for: float, store: Store
) -> None:
    """Else it would be a way to stay on after the end (requirement 23)."""
    tickets = Tickets(store, leeway=leeway, clock=lambda: NOW)

    ticket = make(tickets, Principal(None, "alice", ScopeSet(), NOW + left))

    assert store.seconds == [kept_for]
    assert ticket.expires_at == NOW + kept_for


def test_is_not_made_of_a_token_that_has_expired(tickets: Tickets, store: Store) -> None:
    """Between the check of the token and this."""
    with pytest.raises(InvalidToken):
        make(tickets, Principal(None, "alice", ScopeSet(), NOW))

    assert store.kept == {}


def test_is_refused_once_its_token_has_expired(store: Store) -> None:
    """Even where the store should still have it: the end of the token is the end."""
    now = [NOW]
    tickets = Tickets(store, clock=lambda: now[0])
    first, second = (
        make(tickets, Principal(None, "a", ScopeSet(), NOW + 10)).value for _ in range(2)
    )

    now[0] = NOW + 9
    assert use(tickets, first).expires_at == NOW + 10
    now[0] = NOW + 10
    with pytest.raises(InvalidTicket, match="token has expired"):
        use(tickets, second)


@pytest.mark.parametrize("seconds", [0, -1, 61])
def test_does_not_live_longer_than_a_minute(seconds: float, store: Store) -> None:
    """What stands in a URL is read by others, sooner or later (requirement 23)."""
    with pytest.raises(ValueError, match="at most 60"):
        Tickets(store, seconds=seconds)


def test_a_store_that_is_away_lets_nobody_in() -> None:
    """Whether a ticket was used cannot be known, so it counts for nothing."""
    tickets = Tickets(Away(), clock=lambda: NOW)

    with pytest.raises(Unavailable):
        make(tickets)
    with pytest.raises(Unavailable):
        use(tickets, "A" * 43)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff", id="binary"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="nothing-in-it"),
        pytest.param(b'{"subject": "alice"}', id="another-version"),
        pytest.param(
            b'{"caller": {"subject": "alice"}, "items": {}, "admin": true, "claims": {}}',
            id="another-principal",
        ),
        pytest.param(b'{"caller": {}, "items": 1, "admin": false}', id="wrong-types"),
    ],
)
def test_refuses_what_it_did_not_write(content: bytes, tickets: Tickets, store: Store) -> None:
    """In an upgrade two versions share the store for a while."""
    value = make(tickets).value
    store.kept = dict.fromkeys(store.kept, content)

    with pytest.raises(InvalidTicket):
        use(tickets, value)


def test_the_store_holds_neither_ticket_nor_token(
    tickets: Tickets, store: Store, verifier: TokenVerifier, factory: TokenFactory
) -> None:
    """A dump of it is a list of names, with no way in."""
    token = factory.good()
    ticket = make(tickets, verifier.verify(token))

    ((key, content),) = store.kept.items()

    assert ticket.value not in key
    assert ticket.value.encode() not in content
    assert token.rpartition(".")[2].encode() not in content
    assert json.loads(content)["caller"]["subject"] == "alice"
    assert ticket.value not in repr(ticket)


def test_no_two_are_the_same(tickets: Tickets) -> None:
    """32 random bytes each: nobody guesses one (OWASP ASVS 5.0, 7.2.3)."""
    values = {make(tickets).value for _ in range(100)}

    assert len(values) == 100
    assert {len(value) for value in values} == {43}


def test_a_claim_that_is_no_json_is_an_error(tickets: Tickets) -> None:
    """An application's own principal may hold anything; nothing is left out in silence."""
    with pytest.raises(TypeError, match="object"):
        make(tickets, Principal(None, "a", ScopeSet(), NOW + 9, claims={"x": object()}))


def test_counts_what_was_made_and_what_let_somebody_in(tickets: Tickets) -> None:
    """For figures: a ticket that is refused was not used."""
    first, second = make(tickets).value, make(tickets, item_id="43").value
    use(tickets, first)
    for spent in (first, second):
        with pytest.raises(InvalidTicket):
            use(tickets, spent)

    assert (tickets.counts.made, tickets.counts.used) == (2, 1)
