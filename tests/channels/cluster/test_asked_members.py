"""Members that are asked for on a node that may not hear their item: those of all nodes."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster import asked_channels
from itemwire.channels.cluster.asked_channels import KEPT_TICKS, WAIT_TICKS
from itemwire.channels.cluster.exchange import MUTE_TICKS
from itemwire.channels.cluster.gossip import Gossip, StateRequest
from itemwire.channels.cluster.notices import Notice, read_notice
from itemwire.channels.cluster.peer import DEAD_TICKS, HEARTBEAT_TICKS, SILENT_TICKS
from itemwire.channels.presence.presence import Page
from itemwire.engines.base import EngineError
from itemwire.engines.faults import FULL
from tests.channels.cluster.test_hostile_gossip import remote_presence_of
from tests.channels.nodes import Crowd, SharedEngine


def greeted(*names: str) -> Crowd:
    """Start nodes that have had a second to find each other."""
    crowd = Crowd(*names)
    crowd.tick()
    return crowd


def engine_of(crowd: Crowd, name: str) -> SharedEngine:
    """Give the engine of a node."""
    engine = crowd.stages[name].engine
    assert isinstance(engine, SharedEngine)
    return engine


def ids(page: Page) -> list[str]:
    """List the ids of a page's members."""
    return [member.connection for member in page.members]


def requests(crowd: Crowd, item: str = "42") -> int:
    """Count the requests that were sent for the members of an item."""
    lines = [line for notice in crowd.bus.sent for line in _lines(notice)]
    return sum(isinstance(line, StateRequest) and f"item:{item}" in line.channels for line in lines)


def _lines(notice: bytes) -> list[object]:
    gossip = read_notice(notice).gossip
    return list(gossip.lines) if gossip is not None else []


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
    crowd.settle()
    before = requests(crowd)

    pages = [crowd.ask("a") for _ in range(50)]
    crowd.settle()
    again = crowd.ask("a")

    assert [[ids(page) for page in each] for each in pages] == [[["b1"]]] * 50
    assert [ids(page) for page in again] == [["b1"]]  # at once, from memory
    assert requests(crowd) == before + 2  # one to each other node


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
    assert not list(remote_presence_of(crowd, "a")._asked)


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
        engine_of(crowd, name).refusal = EngineError("full", FULL)
    crowd.tick(HEARTBEAT_TICKS)
    for _ in range(2 * DEAD_TICKS):
        crowd.tick()
        (page,) = crowd.ask("a")
        assert (ids(page), page.is_partial) == (["a1", "b1"], True)

    for name in mute:
        engine_of(crowd, name).refusal = None
    crowd.tick(MUTE_TICKS + 1)
    (page,) = crowd.ask("a")
    assert (ids(page), page.is_partial) == (["a1", "b1"], False)
    assert not alice.saw("left")


def test_a_question_whose_notice_is_refused_is_answered_at_once_the_next_time() -> None:
    """Nobody waits two seconds for nodes that were not asked."""
    crowd = greeted("a", "b")
    crowd.join("b", "7")
    crowd.settle()
    engine_of(crowd, "a").refusal = EngineError("full", FULL)
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
    crowd.settle()
    assert [[page.is_partial for page in each] for each in pages] == [[True], [False], [False]]


def test_an_item_that_is_asked_about_goes_before_many_that_wait() -> None:
    """A node that hears thousands of items and has just met another asks for 80 at a time."""
    crowd = greeted("a")
    for number in range(200):
        crowd.join("a", f"heard-{number}")
    crowd.start("b")
    crowd.join("b")
    crowd.stages["b"].do_what_waits()
    crowd.bus.carry()  # a has met b, and has not asked it yet
    crowd.ask("a")
    crowd.settle()

    asked = [
        line.channels
        for notice in crowd.bus.sent
        for line in _lines(notice)
        if isinstance(line, StateRequest) and len(line.channels) > 1
    ]
    assert asked[0][0] == "item:42"
