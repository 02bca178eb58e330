"""Presence travels where its messages travel: who hears an item, and nobody else, pays for it."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.gossip import (
    MAX_NUMBER,
    ClusterMember,
    Gossip,
    ItemWords,
    MemberBack,
    MemberJoined,
    MembersAsked,
    MembersChanged,
    MembersRange,
    MembersSought,
)
from itemwire.channels.cluster.notices import Notice, read_notice
from itemwire.channels.cluster.peer import ANSWER_TICKS, DEAD_TICKS
from itemwire.channels.cluster.recent_changes import MOST_REMEMBERED
from itemwire.channels.cluster.reminders import WAITS
from itemwire.channels.limits.item_rules import ItemRules
from itemwire.engines.base import EngineError
from itemwire.engines.faults import FULL
from tests.channels.cluster.test_hostile_gossip import remote_presence_of
from tests.channels.nodes import WITH_GRACE, Crowd, lines_on, told
from tests.fakes import CHANNEL, Peer


def settled(*names: str, members: int = 1, item: str = "42") -> Crowd:
    """Start nodes with so many members each, which know each other, and have said all of it."""
    crowd = Crowd(*names, limits=WITH_GRACE)
    for name in names:
        for _ in range(members):
            crowd.join(name, item)
    crowd.tick(sum(WAITS) + 1)
    return crowd


def notices(crowd: Crowd, before: int) -> int:
    """Count the lines in notices, after so many of them."""
    gossips = [read_notice(data).gossip for data in crowd.bus.sent[before:]]
    return sum(len(gossip.lines) for gossip in gossips if gossip)


def test_only_nodes_that_hear_an_item_hear_of_its_members() -> None:
    """However many nodes there are: a private item costs its own node a message."""
    crowd = settled("a", "b", "c", "d")
    sent, heard = len(crowd.bus.sent), len(crowd.bus.heard)
    alice = crowd.join("a", "private")
    crowd.settle()
    crowd.end(alice)
    crowd.tick(sum(WAITS))

    assert notices(crowd, sent) == 0
    assert {engine for engine, _ in crowd.bus.heard[heard:]} <= {crowd.engine("a")}
    assert len(crowd.bus.heard[heard:]) == 1  # the question, and that alice is there


@pytest.mark.parametrize(("presence", "is_told"), [("off", False), ("counts", True), ("on", True)])
def test_of_an_item_whose_rule_wants_no_members_nothing_is_told(
    presence: str, is_told: bool
) -> None:
    """Where members are counted, the numbers are those of all nodes."""
    rules = ItemRules(presence=presence)  # type: ignore[arg-type] # one of its words
    crowd = Crowd("a", "b", limits=WITH_GRACE, rules_of=lambda _item: rules)
    crowd.tick()
    for name in ("a", "b", "b"):
        crowd.join(name)
    sent = len(crowd.bus.sent)
    crowd.settle()
    crowd.cut(crowd.peers["b"][0])
    crowd.tick(DEAD_TICKS)

    assert bool(crowd.bus.told) is is_told
    if presence != "on":
        assert notices(crowd, sent) == 0  # nobody is away who is not listed
        pages = crowd.ask("a")
        crowd.settle()
        assert [page.count for page in pages] == [2 * is_told]


def test_a_node_that_missed_nothing_is_answered_by_nobody() -> None:
    """After a break it asks on each channel, with the numbers it knows; all are still right."""
    crowd = settled("a", "b", "c", members=30)
    crowd.engine("a").is_deaf = True
    before = len(crowd.bus.told)
    crowd.engine("a").hear_again()
    crowd.settle()

    lines = lines_on(crowd, since=before)
    assert [type(line) for line in lines] == [MembersAsked]


@pytest.mark.parametrize("count", [1, MOST_REMEMBERED, MOST_REMEMBERED + 1])
def test_only_who_has_said_something_meanwhile_answers_and_once_for_all(count: int) -> None:
    """Two nodes whose connections broke are told the same: who left, or who is there if many."""
    crowd = settled("a", "b", "c", members=30)
    watchers = [crowd.peers["a"][0], crowd.peers["b"][0]]
    crowd.engine("a").is_deaf = crowd.engine("b").is_deaf = True
    for gone in crowd.peers["c"][:count]:
        crowd.end(gone)
    crowd.settle()
    before = len(crowd.bus.told)
    crowd.engine("a").hear_again()
    crowd.engine("b").hear_again()
    crowd.settle()

    lines = lines_on(crowd, since=before)
    changed = [len(line.gone) for line in lines if isinstance(line, MembersChanged)]
    listed = [len(line.members) for line in lines if isinstance(line, MembersRange)]
    is_short = count <= MOST_REMEMBERED
    assert (changed, listed) == (([count], []) if is_short else ([], [30 - count]))
    assert [told(one) for one in watchers] == [crowd.there()] * 2


def answer_to_next_word(crowd: Crowd) -> MembersChanged:
    """Let "a" hear again, with the next word of "b"; give the one answer, which is a short one."""
    crowd.engine("a").is_deaf = False
    before = len(crowd.bus.told)
    crowd.join("b")
    crowd.settle()
    lines = lines_on(crowd, since=before)
    (answer,) = [line for line in lines if isinstance(line, (MembersChanged, MembersRange))]
    assert isinstance(answer, MembersChanged)
    return answer


@pytest.mark.parametrize("is_there", [True, False])
def test_who_missed_one_word_is_told_who_came_or_left_since(*, is_there: bool) -> None:
    """The hole shows with the next word, and what was told before the hole is known."""
    crowd = settled("a", "b", members=5)
    watcher = crowd.peers["a"][0]
    crowd.engine("a").is_deaf = True
    missed = crowd.join("b")
    crowd.settle()
    if not is_there:
        crowd.end(missed)
        crowd.settle()
    changed = answer_to_next_word(crowd)

    assert "b6" in ([one.connection for one in changed.members] if is_there else changed.gone)
    assert told(watcher) == crowd.listed("a") == crowd.there()


def test_who_missed_nothing_but_a_question_is_answered_shortly() -> None:
    """Nobody came or left: that is the answer."""
    crowd = settled("a", "b", members=5)
    crowd.engine("a").is_deaf = True
    crowd.engine("b").hear_again()  # asks
    crowd.settle()
    changed = answer_to_next_word(crowd)

    assert changed.gone == []
    assert crowd.listed("a") == crowd.there()


def test_a_member_that_is_away_can_be_taken_over_after_what_changed_was_told() -> None:
    """That it is there still does not mean that its caller is back."""
    crowd = settled("a", "b", members=2)
    crowd.engine("a").is_deaf = True
    alice = crowd.join("b", subject="alice")
    crowd.settle()
    crowd.engine("a").is_deaf = False
    crowd.cut(alice)
    crowd.settle()
    crowd.tick(WAITS[0] + 1)  # by a reminder, `a` finds what it missed
    listed = crowd.listed("a")
    back = crowd.join("a", subject="alice")

    assert "b3" in listed
    assert back.session.subscription.member.connection == "b3"


def test_the_last_word_is_missed_without_a_next_one() -> None:
    """No notice was lost and no connection broke: a number that is told again shows it."""
    crowd = settled("a", "b")
    (alice,), (bob,) = crowd.peers["a"], crowd.peers["b"]
    crowd.engine("a").is_deaf = True
    crowd.end(bob)
    crowd.stages["b"].do_what_waits()
    crowd.bus.carry()
    crowd.engine("a").is_deaf = False
    missed = told(alice)
    crowd.tick(WAITS[0] + 1)

    assert missed == ["a1", "b1"]
    assert told(alice) == crowd.listed("a") == ["a1"]


def test_what_the_engine_refused_to_carry_is_told_later() -> None:
    """A member that left, and one that came, while a store took nothing."""
    crowd = settled("a", "b")
    (alice,), (bob,) = crowd.peers["a"], crowd.peers["b"]
    crowd.engine("b").refusal = EngineError("full", FULL)
    crowd.end(bob)
    crowd.join("b")
    crowd.tick(2)
    meanwhile = told(alice)
    crowd.engine("b").refusal = None
    crowd.tick(ANSWER_TICKS)

    assert meanwhile == ["a1", "b1"]
    assert told(alice) == crowd.listed("a") == crowd.listed("b") == ["a1", "b2"]


def test_who_is_away_is_listed_for_those_who_come_though_nobody_else_is_there() -> None:
    """Its node hears the item for that long, and no longer."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    crowd.tick()
    crowd.cut(crowd.join("a", subject="alice"))
    crowd.settle()
    heard = set(crowd.engine("a").hearing)
    watcher = crowd.join("b")
    crowd.settle()
    assert told(watcher) == ["a1", "b1"]

    crowd.tick(DEAD_TICKS)
    assert told(watcher) == ["b1"]
    assert (heard & {CHANNEL}, crowd.engine("a").hearing & {CHANNEL}) == ({CHANNEL}, set())


def back_where_it_was(crowd: Crowd) -> Peer:
    """Let alice be cut off node a and come back to it."""
    crowd.tick()
    crowd.cut(crowd.join("a", subject="alice"))
    crowd.settle()
    back = crowd.join("a", subject="alice")
    crowd.settle()
    return back


def test_a_second_tab_elsewhere_is_a_second_member_once_the_first_is_back() -> None:
    """Nodes that do not hear the item are told as well that nobody is away any more."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    back = back_where_it_was(crowd)
    second = crowd.join("b", subject="alice")
    crowd.tick(2)

    assert back.session.subscription.member.connection == "a1"
    assert second.session.subscription.member.connection == "b1"
    gossips = [read_notice(data).gossip for data in crowd.bus.sent]
    lines = [line for gossip in gossips if gossip for line in gossip.lines]
    assert MemberBack(CHANNEL, "a1") in lines
    assert crowd.listed("a") == crowd.listed("b") == ["a1", "b1"]


def test_a_forged_number_makes_nobody_deaf_for_ever() -> None:
    """What the real node tells has lower numbers, and is believed after a few of them."""
    crowd = settled("a", "b")
    (alice,) = crowd.peers["a"]
    real = crowd.stages["b"].node._id
    forged = MemberJoined(CHANNEL, ClusterMember("x1", "eve"))
    crowd.bus.tell(CHANNEL, ItemWords(real, MAX_NUMBER, 1, [forged]).encoded())
    crowd.settle()
    assert "x1" in told(alice)
    for _ in range(12):
        crowd.join("b")
        crowd.tick()
    crowd.tick(ANSWER_TICKS)

    assert told(alice) == crowd.listed("a") == sorted(crowd.there())


def test_what_is_told_about_another_channel_is_passed_over() -> None:
    """No node of ours says so, and the numbers are those of the channel it came on."""
    crowd = settled("a")
    forged = MemberJoined("item:7", ClusterMember("x1", "eve"))
    crowd.bus.tell(CHANNEL, ItemWords("forged", 1, 0, [forged]).encoded())
    crowd.settle()

    assert crowd.listed("a") == ["a1"]
    (peer,) = remote_presence_of(crowd, "a")._peers.values()
    assert peer.members == {}


@pytest.mark.parametrize("words", [b"", b"[]", b"{}", b'["x",0,0]', b'["",1,0]', b'["x",1,0,[{}]]'])
def test_words_that_no_node_tells_are_dropped_and_counted(words: bytes) -> None:
    """As notices are; whoever may publish on the channel may say anything."""
    crowd = settled("a")
    crowd.bus.tell(CHANNEL, words)
    crowd.settle()

    assert crowd.stages["a"].node.counters.notices_dropped == 1
    assert crowd.listed("a") == ["a1"]


def test_who_came_back_where_it_was_is_taken_over_by_nobody() -> None:
    """Also not on a node that does not hear the item: there, the caller is one more member."""
    crowd = Crowd("a", "b", limits=WITH_GRACE)
    back = back_where_it_was(crowd)
    other = crowd.join("b", subject="alice")
    crowd.settle()

    assert [one.saw("welcome")[0]["connection"] for one in (back, other)] == ["a1", "b1"]
    assert crowd.listed("a") == crowd.listed("b") == ["a1", "b1"]


def test_words_that_were_on_their_way_when_an_item_was_left_are_no_fault() -> None:
    """They are passed over, and not counted as refused; those of an item that is heard are read."""
    crowd = settled("a", "b")
    (alice,), (bob,) = crowd.peers["a"], crowd.peers["b"]
    crowd.end(bob)
    crowd.stages["b"].do_what_waits()  # on its way
    engine = crowd.engine("a")
    late = crowd.bus.told[-1]
    crowd.end(alice)
    crowd.settle()
    engine.sink.hear(*late)

    assert crowd.stages["a"].node.counters.notices_dropped == 0
    assert remote_presence_of(crowd, "a").items.keeps(CHANNEL) is False


def test_what_is_doubted_is_asked_for_again_after_a_while_and_no_sooner() -> None:
    """An answer takes its time on a busy node; one that was lost never comes."""
    crowd = settled("a", "b")
    say(crowd, 5, 4)  # a hole
    crowd.settle()
    asked = []
    for _ in range(2 * ANSWER_TICKS):
        before = len(crowd.bus.told)
        crowd.tick()
        lines = lines_on(crowd, since=before)
        asked.append(sum(isinstance(one, MembersAsked) for one in lines))

    by_both = [0] * (ANSWER_TICKS - 1) + [2]
    assert asked == by_both * 2


def say(crowd: Crowd, number: int, previous: int) -> None:
    """Let a node that answers nobody say that somebody is there."""
    joined = MemberJoined(CHANNEL, ClusterMember("x1", "xena"))
    crowd.bus.tell(CHANNEL, ItemWords("x", number, previous, [joined]).encoded())
    crowd.settle()


def test_a_node_that_hears_an_item_answers_who_seeks_its_members() -> None:
    """It tells all that it has, though the one who seeks asked everybody by a notice."""
    crowd = settled("a", "b", members=2)
    before = len(crowd.bus.told)
    crowd.bus.post(Notice("x", gossip=Gossip(1, [MembersSought(CHANNEL)])).encoded())
    crowd.settle()

    lines = lines_on(crowd, since=before)
    told = [
        one.connection for line in lines if isinstance(line, MembersRange) for one in line.members
    ]
    assert sorted(told) == ["a1", "a2", "b1", "b2"]


@pytest.mark.parametrize("has_left", [True, False])
def test_who_was_away_and_left_meanwhile_is_nobodys_to_take_over(*, has_left: bool) -> None:
    """Its caller comes back as somebody new, as where nothing was missed."""
    crowd = settled("a", "b", members=2)
    alice = crowd.join("b", subject="alice")
    crowd.settle()
    crowd.cut(alice)
    crowd.settle()
    crowd.engine("a").is_deaf = True
    crowd.stages["b"].clock.now += 10 if has_left else 1
    crowd.stages["b"].node.tick()
    crowd.settle()
    crowd.engine("a").hear_again()
    crowd.settle()
    back = crowd.join("a", subject="alice")

    assert (back.session.subscription.member.connection == "b3") is not has_left
