"""What a caller's joins make others be told: within its budget, and at once a second beyond it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from itemwire.channels.limits.bounds import RateLimits
from itemwire.channels.presence.presence import MAX_PAGE
from itemwire.messages import Member
from itemwire_auth.scopes import Action
from tests.channels.cluster.test_crowds import total
from tests.channels.nodes import Crowd, told
from tests.channels.presence.test_presence import ALICE, BOB, Watched
from tests.fakes import EVERYTHING, ITEM, LIMITS, Peer, Stage

WATCHERS = 8
RATES = RateLimits(publish=1000, join=1000, deliveries=10 * WATCHERS)  # told of five who join
WITHIN, FLOOD = 5, 200


def watched(limits: RateLimits = RATES) -> tuple[Stage, list[Peer]]:
    """Start a node on which so many see who comes and goes."""
    stage = Stage(rate_limits=limits)
    return stage, [stage.join(f"watching-{number}") for number in range(WATCHERS)]


def come_and_go(stage: Stage, times: int, subject: str = "mallory") -> None:
    """Join and leave again, as fast as it goes."""
    for _ in range(times):
        stage.join(subject).session.closed(1000)


def changes(peer: Peer, subject: str) -> list[str]:
    """List what a client was told of a caller."""
    seen = peer.saw("joined", "left")
    return [one["type"] for one in seen if one["member"]["subject"] == subject]


@pytest.mark.parametrize(("times", "most"), [(WITHIN, WITHIN), (FLOOD, 2 * WITHIN)])
def test_who_comes_and_goes_again_and_again_is_told_within_its_budget(
    times: int, most: int
) -> None:
    """Past that, who is gone before the next tick was never there for others."""
    stage, watchers = watched()
    come_and_go(stage, times)
    stage.node.tick()

    for peer in watchers:
        seen = changes(peer, "mallory")
        assert seen == ["joined", "left"] * (len(seen) // 2)
        assert min(times, WITHIN) <= len(seen) // 2 <= most


def test_who_stays_is_told_with_the_next_tick_and_then_at_once_again() -> None:
    """Everybody who watches has the same list in the end, and knows the number meanwhile."""
    stage, (alice, *_) = watched()
    come_and_go(stage, FLOOD)
    mallory = stage.join("mallory")
    before = changes(alice, "mallory")[-1]
    stage.node.tick()
    after = changes(alice, "mallory")[-1]
    counts = [one["member_count"] for one in alice.saw("count")]
    stage.node.tick()
    stage.join("bob")

    assert (before, after) == ("left", "joined")
    assert counts == [WATCHERS + 1]
    assert changes(alice, "bob") == ["joined"]
    assert mallory.saw("welcome")[0]["member_count"] == WATCHERS + 1


def test_nobody_else_pays_for_it() -> None:
    """Another caller's joins are told at once, on another item also while somebody floods one."""
    stage, (alice, *_) = watched()
    other = stage.join("watching", item="other")
    come_and_go(stage, FLOOD)
    stage.join("bob", item="other")
    stage.node.tick()
    stage.node.tick()
    stage.join("bob")

    assert changes(other, "bob") == changes(alice, "bob") == ["joined"]


def test_a_budget_is_full_again_after_a_while() -> None:
    """By its rate."""
    stage, (alice, *_) = watched()
    come_and_go(stage, FLOOD)
    stage.node.tick()
    stage.clock.now += 10
    stage.node.tick()
    before = len(changes(alice, "mallory"))
    stage.join("mallory")

    assert len(changes(alice, "mallory")) == before + 1


def test_what_is_published_has_a_budget_of_its_own() -> None:
    """Who joins a large room may say something there."""
    stage, _ = watched()
    come_and_go(stage, FLOOD)

    assert stage.join("mallory").says("publish", data=1)["type"] == "reply"


@pytest.mark.parametrize(
    "limits", [replace(RATES, deliveries=0), replace(RATES, delivered_bytes=0, deliveries=10**9)]
)
def test_without_such_a_limit_everything_is_told_at_once(limits: RateLimits) -> None:
    """So is all that costs little."""
    stage, (alice, *_) = watched(limits)
    come_and_go(stage, FLOOD)

    assert len(changes(alice, "mallory")) == 2 * FLOOD


def test_only_those_count_who_are_told() -> None:
    """In a room where nobody sees the members, joining costs nothing."""
    stage = Stage(rate_limits=RATES)
    for number in range(WATCHERS):
        stage.join(f"deaf-{number}", can=EVERYTHING - {Action.PRESENCE})
    come_and_go(stage, FLOOD)
    alice = stage.join("alice")
    come_and_go(stage, WITHIN)

    assert len(changes(alice, "mallory")) == 2 * WITHIN


@pytest.mark.parametrize("is_watched", [True, False])
def test_nothing_is_kept_of_who_joins_where_nobody_watches(*, is_watched: bool) -> None:
    """Nor, elsewhere, once its budget is full again."""
    stage = Stage(rate_limits=RATES)
    if is_watched:
        stage.join("watching")
    stage.join("mallory", can=frozenset({Action.SUBSCRIBE}))
    rates = stage.node.rates
    assert rates is not None
    kept = {subject for _, subject in rates._subjects}
    stage.clock.now += 10
    stage.node.tick()

    assert kept == ({"mallory"} if is_watched else set())
    assert not rates._subjects


def test_a_late_member_is_announced_by_no_other_change() -> None:
    """Its `info` may change, and it may leave, before anybody was told that it is there."""
    one = Watched(may_tell=lambda _channel, _identity, member: member is not BOB)
    one.joins(ALICE, BOB)
    before = list(one.told)
    one.presence.leave("item:1", BOB)
    one.presence.tick(0)

    assert before == ["joined c0 1"]
    assert one.told[1:] == ["count 1 1"]
    assert one.presence.page("item:1", MAX_PAGE).members == [Member("c0", "alice")]


def test_other_nodes_are_told_once_a_second_too() -> None:
    """They cannot know what a caller has cost elsewhere; in the end all agree."""
    crowd = Crowd("a", "b", limits=LIMITS, rate_limits=RATES)
    far = [crowd.join("b") for _ in range(WATCHERS)]
    near = [crowd.join("a") for _ in range(WATCHERS)]
    crowd.tick(3)
    for _ in range(FLOOD):
        crowd.end(crowd.join("a", subject="mallory"))
        crowd.settle()
    seen = [len(changes(peer, "mallory")) for peer in (*far, *near)]
    crowd.join("a", subject="mallory")
    crowd.tick(3)

    assert max(seen) <= 4 * WITHIN
    assert total(crowd, "a") == total(crowd, "b") == 2 * WATCHERS + 1
    for peer in (*far, *near):
        assert told(peer) == crowd.there(ITEM)


def of(subject: str, mood: str) -> Member:
    """Make a member with another `info`."""
    return Member("c0", subject, msgspec.Raw(b'{"mood":"%s"}' % mood.encode()))


class Moody(Watched):
    """A member whose `info` changes, and a budget that may be spent."""

    def __init__(self) -> None:
        super().__init__(may_tell=lambda *_: self.has_budget)
        self.has_budget = True
        self.joins(of("alice", "new"))
        self.told.clear()

    def changes(self, *moods: str) -> None:
        """Give the member one `info` after the other."""
        for mood in moods:
            self.presence.change("item:1", (None, "alice"), of("alice", mood))

    @property
    def mood(self) -> object:
        """Return what others see."""
        (member,) = self.lists()
        assert isinstance(member.info, msgspec.Raw)
        return msgspec.json.decode(member.info)["mood"]


def test_the_info_of_a_member_that_changes_too_often_is_told_once_a_second() -> None:
    """The last one counts; within the budget each is told at once."""
    one = Moody()
    one.changes("a", "b")
    at_once, one.has_budget = len(one.told), False
    one.changes("c", "d", "e")
    before = (one.mood, len(one.told))
    one.presence.tick(0)
    one.presence.tick(1)

    assert at_once == 2
    assert before == ("b", 2)
    assert (one.mood, len(one.told)) == ("e", 3)


@pytest.mark.parametrize(
    ("what", "mood"), [("is-as-before", "b"), ("is-told", "f"), ("comes-back", "g")]
)
def test_an_info_that_is_late_is_forgotten_where_a_later_one_counts(what: str, mood: str) -> None:
    """It would take the place of a newer one."""
    one = Moody()
    one.changes("b")
    one.has_budget = False
    one.changes("c")
    if what == "is-as-before":
        one.changes("b")
    one.has_budget = True
    if what == "is-told":
        one.changes("f")
    if what == "comes-back":
        one.joins(of("alice", "g"))
    one.presence.tick(0)

    assert one.mood == mood


def test_an_info_that_is_late_does_not_outlive_its_member() -> None:
    """Nobody is told of one that has left."""
    one = Moody()
    one.has_budget = False
    one.changes("c")
    one.presence.leave("item:1", of("alice", "c"))
    one.told.clear()
    one.presence.tick(0)

    assert one.told == []
    assert one.presence._late_changes == {}
