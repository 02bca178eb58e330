"""Members that are asked for on a node that may not hear their item: those of all nodes."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster import asked_channels
from itemwire.channels.cluster.asked_channels import KEPT_TICKS, WAIT_TICKS
from itemwire.channels.cluster.exchange import MUTE_TICKS
from itemwire.channels.cluster.gossip import Gossip, MembersAsked, MembersSought
from itemwire.channels.cluster.gossip_sender import BATCH_SECONDS, URGENT_SECONDS
from itemwire.channels.cluster.item_talk import AT_ONCE
from itemwire.channels.cluster.notices import Notice, read_notice, read_told
from itemwire.channels.cluster.peer import DEAD_TICKS, HEARTBEAT_TICKS, SILENT_TICKS
from itemwire.channels.presence.presence import Page
from itemwire.engines.base import EngineError
from itemwire.engines.faults import FULL
from tests.channels.cluster.test_hostile_gossip import remote_presence_of
from tests.channels.nodes import Crowd, lines_on


def greeted(*names: str) -> Crowd:
    """Start nodes that have had a second to find each other."""
    crowd = Crowd(*names)
    crowd.tick()
    return crowd


def sought(crowd: Crowd) -> list[str]:
    """List the items that every node was asked about."""
    notices = [read_notice(data).gossip for data in crowd.bus.sent]
    lines = [line for gossip in notices if gossip for line in gossip.lines]
    return [line.channel for line in lines if isinstance(line, MembersSought)]


def ids(page: Page) -> list[str]:
    """List the ids of a page's members."""
    return [member.connection for member in page.members]


def requests(crowd: Crowd, item: str = "42") -> int:
    """Count the questions for the members of an item."""
    return sum(isinstance(line, MembersAsked) for line in lines_on(crowd, item))


def test_a_node_where_nobody_hears_the_item_lists_its_members() -> None:
    """Requirement 142: whichever node is asked, it answers for all."""
    crowd = greeted("a", "b", "c")
    for name in ("a", "b", "b"):
        crowd.join(name)
    crowd.settle()

    pages = [crowd.ask(name) for name in ("a", "b", "c")]
    crowd.settle()

    assert [[ids(page) for page in each] for each in pages] == [[["a1", "b1", "b2"]]] * 3
    assert not any(page.is_partial for each in pages for page in each)


def test_a_client_that_has_just_joined_is_told_of_all() -> None:
    """The members on other nodes are asked for when the item is first heard, so it waits."""
    crowd = greeted("a", "b")
    crowd.join("b")
    crowd.settle()

    alice = crowd.join("a")
    alice.says("members", ref=1)
    crowd.settle()

    (reply,) = alice.saw("reply")
    assert [one["connection"] for one in reply["members"]] == ["a1", "b1"]
    assert "partial" not in reply


def test_questions_at_the_same_time_share_one_request() -> None:
    """A crowd that asks about one item costs the other nodes as much as one client does."""
    crowd = greeted("a", "b", "c")
    crowd.join("b")
    crowd.wait()
    before = requests(crowd)

    pages = [crowd.ask("a") for _ in range(50)]
    crowd.settle()
    again = crowd.ask("a")

    assert [[ids(page) for page in each] for each in pages] == [[["b1"]]] * 50
    assert [ids(page) for page in again] == [["b1"]]  # at once, from memory
    assert requests(crowd) == before + 1


def test_what_was_asked_for_stays_up_to_date_for_a_while_and_no_longer() -> None:
    """Pages follow each other soon; memory goes with what is used."""
    crowd = greeted("a", "b")
    bob = crowd.join("b")
    crowd.settle()
    crowd.ask("a")
    crowd.settle()
    crowd.end(bob)
    crowd.join("b")
    crowd.settle()

    assert [ids(page) for page in crowd.ask("a")] == [["b2"]]
    (peer,) = remote_presence_of(crowd, "a")._peers.values()
    assert peer.members
    crowd.tick(KEPT_TICKS)
    assert not peer.members
    assert not peer.places
    assert not list(remote_presence_of(crowd, "a").items.asked)
    assert not crowd.engine("a").hearing


def test_an_item_that_is_heard_stays_up_to_date_when_nobody_asks_any_more() -> None:
    """And one that is asked about does, when its last subscriber leaves."""
    crowd = greeted("a", "b")
    alice = crowd.join("a")
    crowd.join("b")
    crowd.ask("a")
    crowd.tick(KEPT_TICKS)
    assert crowd.listed("a") == ["a1", "b1"]

    crowd.ask("a")
    crowd.end(alice)
    assert [ids(page) for page in crowd.ask("a")] == [["b1"]]
    crowd.tick(KEPT_TICKS)
    assert crowd.listed("a") == []


def test_a_node_that_does_not_answer_makes_the_answer_a_partial_one() -> None:
    """Requirement 142: within two seconds, and with what the others have said."""
    crowd = greeted("a", "b", "c")
    crowd.join("b")
    crowd.join("c")
    crowd.settle()
    crowd.kill("c")

    page = crowd.ask("a")
    crowd.settle()
    assert page == []
    crowd.tick(WAIT_TICKS)
    assert [(ids(one), one.is_partial) for one in page] == [(["b1"], True)]

    crowd.tick(DEAD_TICKS)
    page = crowd.ask("a")
    assert [(ids(one), one.is_partial) for one in page] == [(["b1"], False)]


def test_a_list_is_partial_while_a_node_is_silent() -> None:
    """Its members are kept until it is given up, so some of them may have left."""
    crowd = greeted("a", "b")
    crowd.join("a")
    crowd.join("b")
    crowd.settle()
    crowd.kill("b")
    assert not crowd.ask("a")[0].is_partial

    crowd.tick(SILENT_TICKS)
    assert crowd.ask("a")[0].is_partial
    crowd.tick(DEAD_TICKS)
    (page,) = crowd.ask("a")
    assert (ids(page), page.is_partial) == (["a1"], False)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_while_the_engine_is_away_the_answer_is_partial_and_comes_soon(when: str) -> None:
    """At once where that is known when somebody asks (requirement 143), else with the next tick."""
    crowd = greeted("a", "b")
    crowd.join("a")
    crowd.join("b", "7")
    crowd.settle()
    engine = crowd.stages["a"].engine
    engine.is_away = when == "before"  # type: ignore[attr-defined]
    pages = crowd.ask("a", "7")
    if when == "meanwhile":
        assert pages == []
        engine.is_away = True  # type: ignore[attr-defined]
        crowd.stages["a"].node.tick()

    assert [(page.count, page.is_partial) for page in pages] == [(0, True)]


@pytest.mark.parametrize("mute", [("a",), ("a", "b")], ids=" and ".join)
def test_while_its_notices_are_refused_a_node_knows_that_it_may_not_know_all(
    mute: tuple[str, ...],
) -> None:
    """A store that takes no writes: what others do not say is no sign that they are gone (142)."""
    crowd = greeted("a", "b")
    alice = crowd.join("a")
    crowd.join("b")
    crowd.settle()
    for name in mute:
        crowd.engine(name).refusal = EngineError("full", FULL)
    crowd.tick(HEARTBEAT_TICKS)
    for _ in range(2 * DEAD_TICKS):
        crowd.tick()
        (page,) = crowd.ask("a")
        assert (ids(page), page.is_partial) == (["a1", "b1"], True)

    for name in mute:
        crowd.engine(name).refusal = None
    crowd.tick(MUTE_TICKS + 1)
    (page,) = crowd.ask("a")
    assert (ids(page), page.is_partial) == (["a1", "b1"], False)
    assert not alice.saw("left")


def test_a_question_whose_notice_is_refused_is_answered_at_once_the_next_time() -> None:
    """Nobody waits two seconds for nodes that were not asked."""
    crowd = greeted("a", "b")
    crowd.join("b", "7")
    crowd.settle()
    crowd.engine("a").refusal = EngineError("full", FULL)
    crowd.ask("a", "7")
    crowd.settle()

    assert [(page.count, page.is_partial) for page in crowd.ask("a", "8")] == [(0, True)]


def test_a_node_that_has_just_started_first_finds_the_others() -> None:
    """It would say that nobody is there, as it knows of no other node yet."""
    crowd = greeted("a")
    crowd.join("a")
    crowd.settle()
    crowd.start("b")

    pages = crowd.ask("b")
    crowd.settle()
    assert pages == []
    crowd.tick()

    assert [(ids(page), page.is_partial) for page in pages] == [(["a1"], False)]


def test_a_node_that_has_just_started_is_known_before_its_first_client() -> None:
    """Until it is, another node would say that nobody is there, as if that were all."""
    crowd = greeted("a")
    crowd.start("b")
    crowd.bus.carry()  # what it has sent at once; none of its timers has run
    crowd.join("b")

    pages = crowd.ask("a")
    assert pages == []
    crowd.settle()

    assert [(ids(page), page.is_partial) for page in pages] == [(["b1"], False)]


def test_a_forged_node_delays_answers_for_as_long_as_it_is_believed() -> None:
    """It makes them partial and a second or two late, until it has been silent."""
    crowd = greeted("a")
    crowd.bus.post(Notice("forged", gossip=Gossip(1)).encoded())
    crowd.settle()

    late = crowd.ask("a")
    crowd.tick(WAIT_TICKS)
    crowd.tick(DEAD_TICKS)
    soon = crowd.ask("a")

    assert [page.is_partial for page in (*late, *soon)] == [True, False]


def test_there_is_room_for_so_many_items_that_are_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Past it, the one that was asked about first is answered with what is known."""
    monkeypatch.setattr(asked_channels, "MAX_CHANNELS", 2)
    crowd = greeted("a", "b")
    pages = [crowd.ask("a", item) for item in ("1", "2", "3")]

    assert [[page.is_partial for page in each] for each in pages] == [[True], [], []]
    crowd.wait()
    assert [[page.is_partial for page in each] for each in pages] == [[True], [False], [False]]


def test_an_item_that_is_asked_about_goes_before_many_that_wait() -> None:
    """A node whose connection broke asks on thousands of channels, so many in a batch."""
    crowd = greeted("a", "b")
    for number in range(3 * AT_ONCE):
        crowd.join("a", f"heard-{number}")
    crowd.join("a")
    crowd.wait()
    before = len(crowd.bus.told)
    for number in range(3 * AT_ONCE):
        crowd.stages["a"].node._exchange.miss(f"item:heard-{number}")
    crowd.stages["a"].node._exchange.miss("item:42")
    crowd.ask("a")
    crowd.stages["a"].pass_time(BATCH_SECONDS)
    first = len(crowd.bus.told)

    assert isinstance(lines_on(crowd, since=before)[0], MembersAsked)
    assert first - before <= AT_ONCE + 1  # an urgent batch has that item alone
    crowd.settle()
    assert len(crowd.bus.told) - before > 3 * AT_ONCE


def test_who_answers_names_the_others_and_the_answer_waits_for_these() -> None:
    """Nobody else knows who hears an item; with all of them, it waits for no longer."""
    crowd = greeted("a", "b", "c", "d")
    for name in ("b", "c"):
        crowd.join(name)
    crowd.wait()
    pages = crowd.ask("a")
    crowd.stages["a"].pass_time(URGENT_SECONDS)
    crowd.bus.carry()
    crowd.stages["b"].pass_time(URGENT_SECONDS)
    crowd.bus.carry()
    one_has_answered = list(pages)
    crowd.stages["c"].pass_time(URGENT_SECONDS)
    crowd.bus.carry()

    assert one_has_answered == []
    assert [(ids(page), page.is_partial) for page in pages] == [(["b1", "c1"], False)]


def test_of_an_item_that_nobody_answers_for_every_node_is_asked() -> None:
    """Each says that it has nothing: of one that does not, nobody can tell (requirement 142)."""
    crowd = greeted("a", "b", "c")
    crowd.join("b")
    crowd.wait()
    pages = [crowd.ask("a", "7") for _ in range(5)]
    crowd.settle()
    told = [read_told(data) for channel, data in crowd.bus.told if channel == "item:7"]

    assert [[(ids(page), page.is_partial) for page in each] for each in pages] == [
        [([], False)]
    ] * 5
    assert sought(crowd) == ["item:7"]
    assert [one.lines for one in told] == [[MembersAsked({})], [], []]  # heard by a alone


def test_a_node_that_alone_hears_an_item_and_stands_still_makes_the_answer_a_partial_one() -> None:
    """Nobody else can say that it has members there."""
    crowd = greeted("a", "b", "c")
    crowd.join("b")
    crowd.wait()
    paused = crowd.stages.pop("b")
    pages = crowd.ask("a")
    crowd.settle()
    at_once = list(pages)
    crowd.tick(WAIT_TICKS)
    assert at_once == []
    assert [(ids(page), page.is_partial) for page in pages] == [([], True)]

    crowd.stages["b"] = paused
    crowd.tick()
    assert [(ids(page), page.is_partial) for page in crowd.ask("a")] == [(["b1"], False)]


def test_who_alone_hears_an_item_asks_every_node_when_a_client_wants_to_know() -> None:
    """And not before: most clients need no more than the list in their welcome."""
    crowd = greeted("a", "b")
    alice = crowd.join("a")
    crowd.wait()
    before = sought(crowd)
    alice.says("members", ref=1)
    crowd.settle()
    alice.says("members", ref=2)
    crowd.settle()

    assert before == []
    assert sought(crowd) == ["item:42"]
    assert len(alice.saw("reply")) == 2
