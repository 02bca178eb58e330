"""Notices that no node of ours would send: nothing is raised, and what is kept stays bounded."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.cluster import connection_counts, peer, remote_presence
from itemwire.channels.cluster.exchange import SharedExchange
from itemwire.channels.cluster.gossip import (
    EVERY_ITEM,
    MAX_NUMBER,
    MAX_SOCKETS,
    SOCKETS,
    ClusterMember,
    Gossip,
    ItemWords,
    Line,
    MemberAway,
    MemberBack,
    MemberJoined,
    MemberLeft,
    MembersAsked,
    MembersChanged,
    MembersCounted,
    MembersRange,
    MembersSought,
    MembersTold,
    NodeStopping,
    SocketCount,
    SocketCounts,
    StateRequest,
    StateSent,
    tag_of,
)
from itemwire.channels.cluster.notices import MAX_NOTICE_BYTES, Notice
from itemwire.channels.cluster.peer import DEAD_TICKS
from itemwire.channels.cluster.remote_presence import RemotePresence
from itemwire.channels.presence.grace import AwayMembers
from itemwire.messages import Member
from tests.channels.nodes import WITH_GRACE, Crowd, say_as, told
from tests.fakes import CHANNEL, LIMITS

QUIET_TICKS: Final = 2 * DEAD_TICKS
LIMIT: Final = 2


def crowd_of_two() -> Crowd:
    """Start two nodes with a member each, where a caller may have so many sockets."""
    crowd = Crowd("a", "b", limits=WITH_GRACE, per_subject=LIMIT)
    crowd.join("a")
    crowd.join("b")
    crowd.settle()
    return crowd


def say(crowd: Crowd, *lines: Line, node: str = "forged", number: int = 1) -> None:
    """Let lines reach every node in the name of some node, each on its way."""
    say_as(crowd, node, number, lines)


def remote_presence_of(crowd: Crowd, name: str) -> RemotePresence:
    """Return what a node knows of the others."""
    exchange = crowd.stages[name].node._cluster._exchange
    assert isinstance(exchange, SharedExchange)
    return exchange._remote_presence


def dropped(crowd: Crowd, name: str = "a") -> int:
    """Return how many notices a node has dropped."""
    return crowd.stages[name].node.counters.notices_dropped


CHANNELS: Final = st.sampled_from([CHANNEL, "item:7", "item:nobody-is-there", "no-item", SOCKETS])
CONNECTIONS: Final = st.sampled_from(["a1", "b1", "x1", "x2", "\x00", "~" * 300])
SUBJECTS: Final = st.sampled_from(["a-0", "b-0", "alice", "", "s" * 256])
ISSUERS: Final = st.sampled_from([None, "issuer"])
INFOS: Final = st.sampled_from([msgspec.UNSET, msgspec.Raw(b"{}"), msgspec.Raw(b'{"a":1}')])
MEMBERS: Final = st.builds(ClusterMember, CONNECTIONS, SUBJECTS, INFOS, ISSUERS)
COUNTS: Final = st.builds(SocketCount, ISSUERS, SUBJECTS, st.integers(0, MAX_SOCKETS))


def lines_to(nodes: Iterable[str]) -> st.SearchStrategy[Line]:
    """Make any line that a reader accepts; some are addressed to these nodes."""
    to, number = st.sampled_from([*nodes, "nobody"]), st.integers(-1, 5)
    return st.one_of(
        st.builds(MemberJoined, CHANNELS, MEMBERS),
        st.builds(MemberLeft, CHANNELS, CONNECTIONS),
        st.builds(MembersRange, CHANNELS, CONNECTIONS, CONNECTIONS, st.lists(MEMBERS, max_size=3)),
        st.builds(StateRequest, to, number, st.lists(CHANNELS, max_size=3)),
        st.builds(StateSent, to, number),
        st.builds(MemberAway, CHANNELS, MEMBERS, st.sampled_from([None, "issuer"])),
        st.builds(MemberBack, CHANNELS, CONNECTIONS),
        st.builds(MembersSought, CHANNELS),
        st.builds(SocketCounts, st.lists(COUNTS, max_size=3)),
        st.just(NodeStopping()),
    )


def told_by(nodes: Iterable[str]) -> st.SearchStrategy[ItemWords]:
    """Make anything that a node may be said to tell on a channel."""
    tags = st.sampled_from([tag_of(node) for node in nodes])
    numbers = st.integers(0, 6) | st.just(MAX_NUMBER)
    few, counts = partial(st.lists, max_size=3), st.integers(0, MAX_SOCKETS)
    lines = st.one_of(
        st.builds(MemberJoined, CHANNELS, MEMBERS),
        st.builds(MemberLeft, CHANNELS, CONNECTIONS),
        st.builds(MembersRange, CHANNELS, CONNECTIONS, CONNECTIONS, few(MEMBERS)),
        st.builds(MembersChanged, CHANNELS, numbers, few(MEMBERS), few(CONNECTIONS), counts),
        st.builds(MembersAsked, st.dictionaries(tags, numbers), st.dictionaries(tags, numbers)),
        st.builds(MembersTold, st.none() | st.lists(tags), counts),
        st.builds(MembersCounted, CHANNELS, counts),
    )
    number = st.integers(1, 6) | st.just(MAX_NUMBER)
    return st.builds(ItemWords, st.sampled_from(list(nodes)), number, numbers, st.lists(lines))


def check_bounds(crowd: Crowd, name: str) -> None:
    """Compare what a node counts with what it stores."""
    known = remote_presence_of(crowd, name)
    for one in known._peers.values():
        stored = sum(len(members) for members in one.members.values())
        assert one._member_count == stored <= peer.MAX_MEMBERS
        assert all(one.members.values())
        away = one.away
        assert sum(map(len, away._by_caller.values())) == len(away._absences)
        assert {*one.members, *one.counted} <= set(one.places)
        assert all(0 < each <= MAX_SOCKETS for each in one.counted.values())
        assert all(map(known.items.keeps, one.places))
        assert set(one.requested) <= {EVERY_ITEM, SOCKETS}
    counted = Counter[str]()
    for one in known._peers.values():
        counted.update(one.counted)
    assert crowd.stages[name].node._presence._elsewhere == counted
    counts, on_other_nodes = known._counts, crowd.slots(name).on_other_nodes
    assert all(0 < each <= LIMIT for by in counts._by_node.values() for each in by.values())
    assert on_other_nodes.total() == sum(sum(by.values()) for by in counts._by_node.values())
    assert len({**known._requests, **known._signs}) <= len(known._peers)
    assert len(known._peers) <= remote_presence.MAX_PEERS
    items = known.items
    kept = [*items._begun, *items._answers._asking, *items._doubts._waits, *items.own._wanted]
    assert all(map(items.keeps, kept))


def go_on(crowd: Crowd, data: st.DataObject) -> None:
    """Let something happen on one of the nodes meanwhile."""
    what = data.draw(st.sampled_from(["nothing", "settle", "tick", "join", "back", "cut", "ask"]))
    name = data.draw(st.sampled_from(["a", "b"]))
    if what == "settle":
        crowd.settle()
    elif what == "tick":
        crowd.tick()
    elif what in {"join", "back"}:
        crowd.join(name, subject="alice" if what == "back" else None)
    elif what == "ask":
        crowd.ask(name, data.draw(st.sampled_from(["42", "7"])))
    elif what == "cut" and len(crowd.peers[name]) > 1:
        crowd.cut(crowd.peers[name][0])


@given(st.data())
def test_whatever_is_said_raises_nothing_and_is_forgotten_in_the_end(data: st.DataObject) -> None:
    """Any lines in any order, in the name of nodes that there are not, between real events."""
    crowd = crowd_of_two()
    ids = [stage.node._id for stage in crowd.stages.values()]
    names = st.sampled_from(["!", "forged", "~"])  # before and after all real ids in their order
    for _ in range(data.draw(st.integers(1, 12))):
        lines = data.draw(st.lists(lines_to(ids), max_size=5))
        number = data.draw(st.integers(0, 6) | st.just(MAX_NUMBER))
        say(crowd, *lines, node=data.draw(names), number=number)
        crowd.bus.tell(CHANNEL, data.draw(told_by(["!", "forged", "~"])).encoded())
        go_on(crowd, data)
        check_bounds(crowd, "a")

    crowd.tick(QUIET_TICKS)

    for name in ("a", "b"):
        check_bounds(crowd, name)
        assert not crowd.slots(name).on_other_nodes
        for watcher in crowd.peers[name]:
            assert told(watcher) == crowd.listed(name)
        assert set(crowd.listed(name)) == set(crowd.there())


def test_who_returns_as_a_member_that_was_named_with_another_subject_stays() -> None:
    """The grace time of the caller that really had this id is over for nobody then."""
    crowd = crowd_of_two()
    member = ClusterMember("a1", "alice", msgspec.Raw(b"{}"), None)
    crowd.bus.tell(CHANNEL, ItemWords("~", 1, 0, [MemberJoined(CHANNEL, member)]).encoded())
    crowd.settle()
    crowd.join("a")
    crowd.cut(crowd.peers["a"][0])
    crowd.settle()
    crowd.join("a", subject="alice")

    crowd.tick(QUIET_TICKS)

    assert crowd.listed("a") == crowd.listed("b") == crowd.there() == ["a1", "a2", "b1"]


@given(st.data())
def test_a_node_that_is_spoken_for_raises_nothing_either(data: st.DataObject) -> None:
    """The same in the names of the real nodes: they cannot be told from what is true."""
    crowd = crowd_of_two()
    ids = [stage.node._id for stage in crowd.stages.values()]
    for _ in range(data.draw(st.integers(1, 8))):
        lines = data.draw(st.lists(lines_to(ids), max_size=5))
        say(
            crowd,
            *lines,
            node=data.draw(st.sampled_from(ids)),
            number=data.draw(st.integers(0, 20) | st.just(MAX_NUMBER)),
        )
        crowd.bus.tell(CHANNEL, data.draw(told_by(ids)).encoded())
        crowd.bus.carry()
        if data.draw(st.booleans()):
            crowd.tick(data.draw(st.sampled_from([1, DEAD_TICKS + 1])))
        check_bounds(crowd, "a")
        check_bounds(crowd, "b")


@pytest.mark.parametrize("grace", [True, False])
def test_a_node_may_say_twice_that_it_stops(*, grace: bool) -> None:
    """And what follows in the same notice is not believed: nobody would ever take it back."""
    crowd = Crowd("a", limits=WITH_GRACE if grace else LIMITS, per_subject=LIMIT)
    watcher = crowd.join("a")
    counts = SocketCounts([SocketCount(None, "eve", 1)])
    say(crowd, NodeStopping(), NodeStopping(), counts)
    say(crowd, NodeStopping(), number=2)

    assert crowd.slots("a").on_other_nodes == {}
    assert told(watcher) == ["a1"]
    crowd.tick(QUIET_TICKS)
    assert remote_presence_of(crowd, "a")._peers == {}


def test_a_node_that_goes_on_after_a_forged_stop_is_asked_for_all_it_has() -> None:
    """Anyone who says that another node stops must not make its members stale for ever."""
    crowd = crowd_of_two()
    real = crowd.stages["b"].node._id
    number = remote_presence_of(crowd, "b")._sender._number
    say(crowd, NodeStopping(), node=real, number=number + 1)
    crowd.join("b")
    crowd.tick(QUIET_TICKS)

    assert crowd.listed("a") == ["a1", "b1", "b2"]
    assert not remote_presence_of(crowd, "a")._peers[real].is_stopping


@pytest.mark.parametrize(
    "sockets",
    [
        pytest.param(10**9, id="too many"),
        pytest.param(MAX_SOCKETS + 1, id="one too many"),
        pytest.param(-1, id="negative"),
    ],
)
def test_a_count_that_no_node_can_have_is_dropped(
    sockets: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A billion sockets would lock a caller out, fewer than none would let it past its limit."""
    caplog.set_level(logging.ERROR)
    crowd = crowd_of_two()
    say(crowd, SocketCounts([SocketCount(None, "alice", sockets)]))

    assert crowd.slots("a").on_other_nodes == {}
    assert crowd.enter("a") is not None
    assert dropped(crowd) == 1
    assert [line.partition(" ")[0] for line in caplog.messages] == ["notice_unreadable"] * 2


def test_a_count_past_the_limit_is_stored_as_the_limit() -> None:
    """The accepted twin: a node with a higher limit says it while limits are being changed."""
    crowd = crowd_of_two()
    say(crowd, SocketCounts([SocketCount(None, "alice", 50)]))
    stored = dict(crowd.slots("a").on_other_nodes)
    say(crowd, SocketCounts([SocketCount(None, "alice", 1)]), number=2)

    assert stored == {(None, "alice"): LIMIT}
    assert crowd.slots("a").on_other_nodes == {(None, "alice"): 1}
    assert crowd.enter("a") is not None
    assert dropped(crowd) == 0


def test_there_is_room_for_so_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forged ids cost nothing; nodes that are known already are received as before."""
    monkeypatch.setattr(remote_presence, "MAX_PEERS", 3)
    crowd = crowd_of_two()
    for name in ("x", "y", "z"):
        say(crowd, MemberJoined(CHANNEL, ClusterMember(f"{name}1", name)), node=name)
    crowd.join("b")
    crowd.settle()

    assert dropped(crowd) == 1
    assert crowd.listed("a") == ["a1", "b1", "b2", "x1", "y1"]


def test_there_is_room_for_so_many_members_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that leaves makes room; what was dropped is counted."""
    monkeypatch.setattr(peer, "MAX_MEMBERS", 2)
    crowd = crowd_of_two()
    joined = [MemberJoined(CHANNEL, ClusterMember(f"x{number}", "eve")) for number in range(3)]
    say(crowd, *joined)
    assert (crowd.listed("a"), dropped(crowd)) == (["a1", "b1", "x0", "x1"], 1)

    say(crowd, MemberLeft(CHANNEL, "x0"), joined[2], number=2)

    assert (crowd.listed("a"), dropped(crowd)) == (["a1", "b1", "x1", "x2"], 1)


def test_there_is_room_for_so_many_callers_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forged subjects cost nothing."""
    monkeypatch.setattr(connection_counts, "MAX_CALLERS", 2)
    crowd = crowd_of_two()
    say(crowd, SocketCounts([SocketCount(None, f"s{number}", 1) for number in range(3)]))

    assert len(crowd.slots("a").on_other_nodes) == 2
    assert dropped(crowd) == 1


def test_a_notice_past_its_size_is_not_read(caplog: pytest.LogCaptureFixture) -> None:
    """Reading it would hold up the event loop."""
    crowd = crowd_of_two()
    crowd.bus.post(b" " * MAX_NOTICE_BYTES + Notice("x", gossip=Gossip(1)).encoded())
    crowd.bus.carry()

    assert "notice_unreadable" in caplog.text
    assert dropped(crowd) == 1


def test_a_node_without_a_name_is_nobody() -> None:
    """Nor is one whose name is as long as a notice."""
    crowd = crowd_of_two()
    for name in ("", "x" * 129):
        crowd.bus.post(msgspec.json.encode({"node": name, "gossip": {"number": 1}}))
    crowd.bus.carry()

    assert dropped(crowd) == 2


@pytest.mark.parametrize("tag", ["came", "away", "part"])
def test_a_member_without_an_id_is_dropped(tag: str) -> None:
    """It would be announced and stand on no page: ids are greater than the empty one."""
    crowd = crowd_of_two()
    member = {"connection": "", "subject": "eve"}
    line: dict[str, object] = {"type": tag, "channel": CHANNEL, "after": "", "last": ""}
    line |= {"members": [member]} if tag == "part" else {"member": member}
    crowd.bus.post(msgspec.json.encode({"node": "x", "gossip": {"number": 1, "lines": [line]}}))
    crowd.bus.carry()

    assert dropped(crowd) == 1
    assert crowd.listed("a") == ["a1", "b1"]


def test_a_question_that_is_asked_again_and_again_is_answered_once_a_batch() -> None:
    """A small notice must not make a node send its members a thousand times over."""
    crowd = crowd_of_two()
    for _ in range(300):
        crowd.join("a")
    crowd.settle()
    to, before = crowd.stages["a"].node._id, len(crowd.bus.sent)
    say(crowd, *(StateRequest(to, number, [CHANNEL] * 50) for number in range(100)))
    crowd.settle()

    assert sum(map(len, crowd.bus.sent[before:])) < 100_000


def test_a_subject_that_another_node_makes_up_does_not_keep_a_member_for_ever() -> None:
    """Members are told apart by the id of their connection, whatever else is said of them."""
    crowd = crowd_of_two()
    (watcher,) = crowd.peers["a"]
    say(crowd, MemberJoined(CHANNEL, ClusterMember("x1", "alice")))
    say(crowd, MemberJoined(CHANNEL, ClusterMember("x1", "bob")), number=2)
    say(crowd, MemberLeft(CHANNEL, "x1"), number=3)

    assert crowd.listed("a") == told(watcher) == ["a1", "b1"]
    assert [one["member"]["subject"] for one in watcher.saw("left")] == ["alice"]


def test_one_member_is_away_for_one_caller() -> None:
    """Who is said to be away twice, as two callers, is taken over once, by the last of them."""
    away = AwayMembers(5)
    for subject in ("alice", "bob"):
        away.add(CHANNEL, (None, subject), Member("x1", subject), 0)

    assert away.take_over(CHANNEL, (None, "alice")) is None
    assert away.take_over(CHANNEL, (None, "bob")) == Member("x1", "bob")
    assert (away._absences, away._by_caller) == ({}, {})
