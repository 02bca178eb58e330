"""Which members are on which channel, and what subscribers are told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.connection import Subscription
from itemwire.channels.delivery.recovery import LIVE
from itemwire.channels.presence.presence import MAX_PAGE, Presence, PresenceEvent
from itemwire.close_reasons import (
    CLOSE_REASONS,
    CREDENTIALS_INVALID,
    FORBIDDEN,
    TOKEN_EXPIRED,
    TOKEN_REVOKED,
    CloseReason,
    Retry,
)
from itemwire.engines.memory import MemoryEngine
from itemwire.messages import Member, MemberCount
from itemwire_auth.principal import Grant
from tests.fakes import CHANNEL, EVERYTHING, ITEM, LIMITS, LateEngine, Peer, Stage

GRACE = 5.0
ALICE, BOB, CAROL = (Member(f"c{n}", name) for n, name in enumerate(("alice", "bob", "carol")))


class Watched:
    """Presence, and a log of what it announces."""

    def __init__(
        self, limit: int = 1000, grace: float = 0, may_tell: Callable[..., bool] = lambda *_: True
    ) -> None:
        self.told: list[str] = []
        self.presence = Presence(self._announce, limit, grace, may_tell=may_tell)

    def _announce(self, _channel: str, event: PresenceEvent) -> None:
        if isinstance(event, MemberCount):
            self.told.append(f"count {event.member_count} {event.item}")
            return
        kind = type(event).__name__.lower()
        self.told.append(f"{kind} {event.member.connection} {event.item}")

    def joins(self, *members: Member, channel: str = "item:1") -> None:
        """Let members come."""
        for member in members:
            self.presence.join(channel, (None, member.subject), member)

    def lists(self, channel: str = "item:1") -> list[Member]:
        """List who is there."""
        return self.presence.page(channel, MAX_PAGE).members


def with_grace(limit: int = 1000) -> Stage:
    """Start a node where who is cut off may come back."""
    return Stage(limits=replace(LIMITS, presence_grace=GRACE, presence_limit=limit))


def passes(stage: Stage, seconds: float) -> None:
    """Let time pass, and the node see to what is due."""
    stage.clock.now += seconds
    stage.node.tick()


def told(peer: Peer) -> dict[str, str]:
    """Work out who is there from what a client was told, as its documents say."""
    there: dict[str, str] = {}
    for event in peer.saw("welcome", "joined", "left"):
        if event["type"] == "welcome":
            there = {one["connection"]: one["subject"] for one in event["members"]}
        elif event["type"] == "joined":
            assert event["member"]["connection"] not in there
            there[event["member"]["connection"]] = event["member"]["subject"]
        else:
            there.pop(event["member"]["connection"], None)
    return there


def test_lists_members_by_connection_and_tells_of_each() -> None:
    """Two who ask get the same list, on whatever node."""
    watched = Watched()
    watched.joins(BOB, CAROL, ALICE)

    assert watched.lists() == [ALICE, BOB, CAROL]
    assert watched.told == ["joined c1 1", "joined c2 1", "joined c0 1"]


def test_tells_once_of_who_leaves() -> None:
    """Some ends are noticed twice, and a join may end before it is one."""
    watched = Watched()
    watched.joins(ALICE)
    went = [watched.presence.leave("item:1", member) for member in (BOB, ALICE, ALICE)]

    assert went == [False, True, False]
    assert watched.lists() == []
    assert watched.told == ["joined c0 1", "left c0 1"]


def test_keeps_channels_apart() -> None:
    """One item's members are nobody's business on another."""
    watched = Watched()
    watched.joins(ALICE)
    watched.joins(BOB, channel="item:2")

    assert (watched.lists(), watched.lists("item:3")) == ([ALICE], [])
    assert not watched.presence.leave("item:2", ALICE)


def test_gives_a_list_that_does_not_change_under_its_reader() -> None:
    """What was answered is on its way."""
    watched = Watched()
    watched.joins(ALICE)
    members = watched.lists()
    watched.joins(BOB)

    assert members == [ALICE]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_who_stays_is_on_exactly_one_page_whoever_comes_and_goes(size: int) -> None:
    """A client pages through a crowd that does not hold still."""
    watched = Watched()
    watched.joins(*(Member(f"m{number:02}", "x") for number in range(0, 40, 2)))
    seen: Counter[str] = Counter()
    after: str | None = ""
    number = 0
    while after is not None:
        page = watched.presence.page("item:1", size, after)
        seen.update(member.connection for member in page.members)
        number, after = number + 4, page.next
        watched.presence.leave("item:1", Member(f"m{number:02}", "x"))
        watched.joins(Member(f"m{number + 1:02}", "x"))

    stayed = {f"m{number:02}" for number in range(0, 40, 2) if number % 4}
    assert {one: seen[one] for one in stayed} == dict.fromkeys(stayed, 1)
    assert max(seen.values()) == 1


def test_bounds_a_page() -> None:
    """However much is asked for, an answer stays small."""
    watched = Watched(limit=5000)
    watched.joins(*(Member(f"m{number:04}", "x") for number in range(MAX_PAGE + 1)))
    page = watched.presence.page("item:1", 2**53 - 1)

    assert (len(page.members), page.count, page.next) == (MAX_PAGE, MAX_PAGE + 1, "m0999")


def test_counts_those_past_the_limit_and_says_nothing_of_them() -> None:
    """A crowd would else be told of each who joins it, and each of the crowd (requirement 96)."""
    watched = Watched(limit=2)
    watched.joins(ALICE, BOB, CAROL)
    page = watched.presence.page("item:1", 10)
    watched.presence.leave("item:1", CAROL)

    assert (page.members, page.count, page.next) == ([ALICE, BOB], 3, None)
    assert watched.told == ["joined c0 1", "joined c1 1"]
    assert watched.presence.page("item:1", 0).count == 2


def test_lists_those_past_the_limit_once_there_is_room() -> None:
    """Else a small audience that was a crowd once would be invisible."""
    watched = Watched(limit=1)
    watched.joins(ALICE, BOB, CAROL)
    watched.presence.leave("item:1", ALICE)
    seen_before = watched.lists()
    watched.presence.tick(0)

    assert (seen_before, watched.lists()) == ([ALICE], [BOB])
    assert watched.told == ["joined c0 1", "left c0 1", "joined c1 1", "count 2 1"]


def test_announces_no_crowd_on_its_way_out() -> None:
    """All leave in one moment, as at the end of a match."""
    watched = Watched(limit=2)
    crowd = [Member(f"m{number}", "x") for number in range(9)]
    watched.joins(*crowd)
    for member in crowd:
        watched.presence.leave("item:1", member)
    watched.presence.tick(0)

    assert watched.told == [*("joined m0 1", "joined m1 1", "left m0 1", "left m1 1"), "count 0 1"]
    presence = watched.presence
    assert (presence._listed, presence._unlisted, presence._changed) == ({}, {}, {})


def test_who_comes_back_in_time_neither_left_nor_joined() -> None:
    """A phone changes its network and nobody's screen flickers."""
    stage = with_grace()
    watching, bob = stage.join("alice"), stage.join("bob")
    bob.session.closed(1006)
    passes(stage, GRACE - 1)
    again = stage.join("bob")
    passes(stage, 10 * GRACE)

    assert [one["member"]["subject"] for one in watching.saw("joined", "left")] == ["bob"]
    assert again.sees[0]["connection"] == bob.sees[0]["connection"] == "c2"
    assert again.connection.id == "c3"
    assert told(again) == told(watching) == {"c1": "alice", "c2": "bob"}


def test_who_does_not_come_back_has_left() -> None:
    """Once the grace time is over, and to everybody."""
    stage = with_grace()
    watching, bob = stage.join("alice"), stage.join("bob")
    bob.session.closed(1006)
    passes(stage, GRACE - 1)
    told_in_time = told(watching)
    passes(stage, 1)
    again = stage.join("bob")

    assert told_in_time == {"c1": "alice", "c2": "bob"}
    assert [one["type"] for one in watching.saw("joined", "left")] == ["joined", "left", "joined"]
    assert again.sees[0]["connection"] == "c3"


def test_another_of_the_same_name_is_another() -> None:
    """It joins, and the one that was cut off leaves."""
    stage = with_grace()
    watching, bob = stage.join("alice"), stage.join("bob")
    bob.session.closed(1006)
    stage.join("carol")
    passes(stage, GRACE)

    assert told(watching) == {"c1": "alice", "c3": "carol"}


@pytest.mark.parametrize(
    ("code", "is_seen"),
    [
        pytest.param(1000, True, id="closed"),
        pytest.param(1005, True, id="closed_without_a_code"),
        pytest.param(1001, False, id="page_loaded_again"),
        pytest.param(1006, False, id="cut"),
        pytest.param(1011, False, id="answered_no_ping"),
        pytest.param(1012, False, id="server_restarts"),
        pytest.param(4000, False, id="own_code"),
    ],
)
def test_only_a_goodbye_is_told_at_once(code: int, is_seen: bool) -> None:
    """Whatever else ends a connection may be followed by another one."""
    stage = with_grace()
    watching, bob = stage.join("alice"), stage.join("bob")
    bob.session.closed(code)

    assert bool(watching.saw("left")) is is_seen


@pytest.mark.parametrize("row", list(CLOSE_REASONS.values()), ids=CLOSE_REASONS)
def test_whom_the_server_takes_away_has_left_at_once(row: CloseReason) -> None:
    """And whom it tells to come back with the same token has not."""
    stage = with_grace()
    watching, bob = stage.join("alice"), stage.join("bob")
    bob.connection.end(row)
    bob.session.closed(1006)

    assert bool(watching.saw("left")) is (row.retry in (Retry.NEVER, Retry.TOKEN))


def test_those_who_may_not_stay_are_among_the_taken_away() -> None:
    """The verdicts that the rule is made of."""
    gone = (TOKEN_EXPIRED, TOKEN_REVOKED, FORBIDDEN, CREDENTIALS_INVALID)

    assert {row.retry for row in gone} == {Retry.NEVER, Retry.TOKEN}


def test_who_leaves_by_word_leaves_now_whatever_happens_to_the_socket() -> None:
    """`leave` on a socket of many items, and then the line breaks."""
    stage = with_grace()
    watching, bob = stage.join("alice"), stage.join("bob")
    stage.node.leave(bob.session.subscription)
    left = watching.saw("left")
    bob.session.closed(1006)
    passes(stage, GRACE)

    assert len(left) == len(watching.saw("left")) == 1


def test_a_join_that_never_was_leaves_no_trace(late_engine: LateEngine) -> None:
    """Cut off while the engine takes its time: nobody was told of it, and nobody waits."""
    stage = Stage(late_engine, replace(LIMITS, presence_grace=GRACE))
    stage.join("bob").session.closed(1006)
    late_engine.settle()

    assert stage.known_members(ITEM).count == 0
    assert stage.node._presence._away._absences == {}


def test_a_channel_of_the_absent_is_freed() -> None:
    """At once in the engine, and all of it after the grace time (requirement 99)."""
    stage = with_grace()
    for number in range(10):
        stage.join(f"user-{number}").session.closed(1006)
    engine, presence = stage.engine, stage.node._presence
    assert isinstance(engine, MemoryEngine)
    heard, waited_for = dict(engine._subscribed), stage.known_members(ITEM).count
    passes(stage, GRACE)

    assert (heard, stage.node._hub._audiences, waited_for) == ({}, {}, 10)
    assert (presence._listed, presence._away._absences) == ({}, {})
    assert presence._away._by_caller == {}


def test_a_socket_of_many_items_may_return_to_each_of_them() -> None:
    """One line breaks: it is absent from all, back where it joins again, gone from the others."""
    stage = with_grace()
    watching = {item: stage.join("alice", item=item) for item in "abc"}
    first, _ = stage.connect("bob")
    on = {item: Subscription(first, Grant(first.principal, item, EVERYTHING)) for item in "abc"}
    for subscription in on.values():
        stage.node.join(subscription, LIVE, lambda _: None)
    stage.node.leave(on["c"])
    first.lost()
    second, transport = stage.connect("bob")
    again = Subscription(second, Grant(second.principal, "b", EVERYTHING))
    stage.node.join(again, LIVE, lambda _: None)
    passes(stage, GRACE)

    seen = {item: [one["type"] for one in peer.sees[1:]] for item, peer in watching.items()}
    assert seen == {"a": ["joined", "left"], "b": ["joined"], "c": ["joined", "left"]}
    assert msgspec.json.decode(transport.frames[0])["connection"] == first.id


def test_who_was_past_the_limit_is_not_waited_for() -> None:
    """Nobody knew of it; waited for, it might be announced without being there."""
    stage = with_grace(limit=1)
    watching, bob = stage.join("alice"), stage.join("bob")
    bob.session.closed(1006)

    assert watching.says("members", limit=0)["count"] == 1
    assert stage.join("bob").sees[0]["connection"] == "c3"


def test_a_crowd_is_welcomed_in_part() -> None:
    """The first page and how many there are; the others can be asked for."""
    stage = Stage(limits=replace(LIMITS, presence_limit=150))
    peers = [stage.join(f"user-{number}") for number in range(160)]
    welcome = peers[-1].sees[0]
    rest = peers[-1].says("members", after=welcome["members"][-1]["connection"])

    assert (len(welcome["members"]), welcome["member_count"]) == (100, 160)
    assert (len(rest["members"]), rest["count"], "next" in rest) == (50, 160, False)
    assert len(peers[0].saw("joined")) == 149


Step = tuple[str, int]

STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "close", "cut", "revoke", "tick"]), st.integers(0, 3)),
    max_size=40,
)


@given(STEPS, st.sampled_from([0.0, GRACE]), st.sampled_from([0, 2, 1000]))
def test_what_a_watcher_was_told_adds_up_to_the_list(
    steps: list[Step], grace: float, limit: int
) -> None:
    """In any order of things, for each who is there; in the end only they are (requirement 99)."""
    stage = Stage(limits=replace(LIMITS, presence_grace=grace, presence_limit=limit))
    live = [stage.join("watching")]
    for kind, number in steps:
        _take(stage, live, kind, number)
        page = stage.known_members(ITEM)
        listed = {member.connection: member.subject for member in page.members}
        assert all(told(peer) == listed for peer in live)
        assert len(listed) <= min(limit, page.count)
        assert page.count >= len(live)
    passes(stage, 2 * GRACE)
    page = stage.known_members(ITEM)

    assert page.count == len(live)
    assert len(page.members) == min(limit, len(live))
    subjects = Counter(peer.connection.principal.subject for peer in live)
    assert Counter(member.subject for member in page.members) <= subjects
    assert all(told(peer).keys() == {one.connection for one in page.members} for peer in live)
    for peer in live:
        peer.session.closed(1000)
    stage.node.tick()
    assert stage.node._presence._listed == stage.node._presence._unlisted == {}
    assert stage.engine._subscribed.get(CHANNEL) is None  # type: ignore[attr-defined] # the memory one's


def _take(stage: Stage, live: list[Peer], kind: str, number: int) -> None:
    """Take one step of a history; the watcher, who came first, stays."""
    if kind == "join":
        live.append(stage.join(f"user-{number % 2}"))
    elif kind == "tick":
        passes(stage, 2.0 * number)
    elif len(live) > 1:
        peer = live.pop(1 + number % (len(live) - 1))
        if kind == "revoke":
            peer.connection.end(TOKEN_REVOKED)
        peer.session.closed(1000 if kind == "close" else 1006)
