"""Revoking tokens and ending connections, on one node and on two."""

from __future__ import annotations

import gc
import logging
from dataclasses import replace

import msgspec
import pytest

from itemwire.channels.cluster.notices import Notice
from itemwire.channels.environment import Environment
from itemwire.channels.node import Node
from itemwire.engines.base import EngineError
from itemwire_auth.revocation import Revocation
from tests.fakes import (
    CHANNEL,
    ITEM,
    JSON,
    LIMITS,
    NOW,
    LateEngine,
    RecordingTransport,
    Stage,
    complete,
    draft,
    principal,
)

ALICE = Revocation(NOW + 60, subject="alice")


def revoke(stage: Stage, revocation: Revocation = ALICE) -> list[int | EngineError]:
    """Take tokens back, and give the answer once it comes."""
    answers: list[int | EngineError] = []
    stage.node.revoke(revocation, answers.append)
    return answers


def notice(revocation: Revocation | None = None, connection: str | None = None) -> bytes:
    """Write what another node says."""
    return Notice("another", revocation, connection).encoded()


def test_ends_every_connection_of_the_subject_and_no_other(stage: Stage) -> None:
    """On items and on none, with `token_revoked` (requirement 70)."""
    on_item, other = stage.join("alice"), stage.join("bob")
    _, idle = stage.connect("alice")

    assert revoke(stage) == [2]

    assert on_item.transport.reasons == idle.reasons == ["token_revoked"]
    assert other.transport.reasons == []
    assert [one["member"]["subject"] for one in other.saw("left")] == ["alice"]


def test_nothing_reaches_a_revoked_connection_any_more(stage: Stage) -> None:
    """Not what was sent in this tick, not what waits, not that its likes have left."""
    peers = [stage.join("alice") for _ in range(3)]
    slow = stage.join("alice", room=1)
    before = [len(peer.sees) for peer in (*peers, slow)]
    stage.engine.publish(CHANNEL, draft("in this tick"), lambda _: None)
    revoke(stage)
    stage.engine.publish(CHANNEL, draft("later"), lambda _: None)

    after = [peer.sees[seen:] for peer, seen in zip((*peers, slow), before, strict=True)]
    assert [[one["type"] for one in sees] for sees in after] == [["closing"]] * 4
    assert slow.transport.discards == 1


def test_ends_a_thousand_connections_of_one_subject_in_one_call() -> None:
    """All of them before it returns, and none is told that the others have left."""
    stage = Stage(limits=replace(LIMITS, presence_limit=1001))
    transports = [stage.join("alice").transport for _ in range(1000)]
    bob = stage.join("bob", can=frozenset())
    stage.settle()

    assert revoke(stage) == [1000]

    assert {transport.closes[0].reason for transport in transports} == {"token_revoked"}
    last = [msgspec.json.decode(frame) for one in transports for frame in one.frames[-2:]]
    assert {one["type"] for one in last} == {"joined", "closing"}
    assert stage.known_members(ITEM).members == [bob.session.subscription.member]
    assert stage.node.connections(10) == [bob.connection]


def test_a_handshake_that_was_under_way_gives_no_open_socket(stage: Stage) -> None:
    """Checked, then revoked, then connected (requirement 71)."""
    checked = stage.join("bob")
    revoke(stage)
    late = stage.join("alice")

    assert late.transport.reasons == ["token_revoked"]
    assert [one["type"] for one in late.sees] == ["closing"]
    assert checked.saw("joined", "left") == []
    assert stage.node.connections(10) == [checked.connection]


def test_a_connection_that_ended_before_its_join_leaves_nothing_behind(stage: Stage) -> None:
    """Its channel is not held open for it."""
    revoke(stage)
    stage.join("alice")

    assert stage.node._hub._audiences == {}


def test_a_revocation_while_the_engine_reads_the_history_ends_the_join(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """There is no welcome after the end (requirement 71)."""
    peer = late_stage.join("alice")
    late_engine.step(3)  # subscribed; the read has arrived
    revoke(late_stage)
    late_engine.settle()

    assert [one["type"] for one in peer.sees] == ["closing"]
    assert late_stage.known_members(ITEM).count == 0


def test_who_was_let_in_before_and_expires_later_can_come_back_after_until(stage: Stage) -> None:
    """A ban that ends lets its tokens in again; the accepted twin of all above."""
    revoke(stage)
    stage.clock.now = ALICE.until

    assert stage.join("alice").saw("welcome")


def test_a_revocation_that_is_past_ends_and_bars_nobody(stage: Stage) -> None:
    """It is how an operator disconnects a subject."""
    peer = stage.join("alice")

    assert revoke(stage, Revocation(NOW, subject="alice")) == [1]
    assert peer.transport.reasons == ["token_revoked"]
    assert stage.join("alice").saw("welcome")


def test_ends_one_connection_by_its_id(stage: Stage) -> None:
    """And the other one of the same subject stays."""
    ended, other = stage.join("alice"), stage.join("alice")
    answers: list[int | EngineError] = []
    stage.node.disconnect(ended.connection.id, answers.append)
    stage.node.disconnect(ended.connection.id, answers.append)

    assert answers == [1, 0]
    assert ended.transport.reasons == ["token_revoked"]
    assert other.transport.reasons == []


def test_sockets_end_at_once_and_the_answer_comes_when_the_engine_has_it(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """No wait for the network while a thief reads on."""
    _, transport = late_stage.connect("alice")
    answers = revoke(late_stage)
    at_once = (transport.reasons, list(answers))
    late_engine.settle()

    assert at_once == (["token_revoked"], [])
    assert answers == [1]


def test_an_engine_that_fails_leaves_it_done_here_and_says_so(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """Closed here, open elsewhere: who asked must know and ask again (requirement 74)."""
    late_engine.broken = {"post"}
    _, transport = late_stage.connect("alice")
    answers = revoke(late_stage)
    late_engine.settle()

    assert [type(one) for one in answers] == [EngineError]
    assert transport.reasons == ["token_revoked"]
    assert late_stage.revocations.revokes(principal("alice"))


def test_a_full_table_is_told_to_who_asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets end all the same, but they could come back."""
    monkeypatch.setattr(stage.revocations, "_max_entries", 0)
    _, transport = stage.connect("alice")

    assert [type(one) for one in revoke(stage)] == [EngineError]
    assert transport.reasons == ["token_revoked"]


def test_does_what_another_node_says(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """All nodes act on one call, and each logs it once (requirements 70, 104)."""
    caplog.set_level(logging.INFO, "itemwire.channels")
    alice, bob, carol = (stage.join(name) for name in ("alice", "bob", "carol"))
    stage.engine.post(notice(ALICE), ALICE.until, lambda _: None)
    stage.engine.post(notice(connection=bob.connection.id), NOW, lambda _: None)

    assert alice.transport.reasons == bob.transport.reasons == ["token_revoked"]
    assert carol.transport.reasons == []
    assert stage.join("alice").transport.reasons == ["token_revoked"]
    applied = [line for line in caplog.messages if line.startswith("notice_applied")]
    assert len(applied) == 2
    assert all("ended=1" in line for line in applied)


def test_heeds_its_own_notice_no_second_time(late_stage: Stage, late_engine: LateEngine) -> None:
    """Who came back after a disconnect would be ended again when the engine gets round to it."""
    revoke(late_stage, Revocation(NOW, subject="alice"))
    _, back = late_stage.connect("alice")
    late_engine.settle()

    assert back.reasons == []


def test_a_notice_that_cannot_be_read_is_logged_and_harms_nobody(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A node of another version may speak of what this one does not know."""
    _, transport = stage.connect()
    stage.engine.post(b"{", NOW + 60, lambda _: None)

    assert "notice_unreadable" in caplog.text
    assert transport.reasons == []


def test_a_notice_with_no_room_for_it_is_an_error_in_the_log(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator must know that this node lets the tokens in again."""
    monkeypatch.setattr(stage.revocations, "_max_entries", 0)
    _, transport = stage.connect("alice")
    stage.engine.post(notice(ALICE), ALICE.until, lambda _: None)

    assert transport.reasons == ["token_revoked"]
    assert "revocations_full" in caplog.text


def test_a_node_that_starts_later_knows_what_was_taken_back(stage: Stage) -> None:
    """A restart lets nobody back in (requirement 70)."""
    revoke(stage)
    complete(stage.node.stop())
    node = Node(stage.engine, LIMITS, environment=Environment(stage.clock, timers=stage.timers))
    complete(node.start())
    transports = {name: RecordingTransport() for name in ("alice", "bob")}
    for name, transport in transports.items():
        node.connect(principal(name), JSON, transport)

    assert transports["alice"].reasons == ["token_revoked"]
    assert transports["bob"].reasons == []


def test_knows_its_connections_and_forgets_who_left(stage: Stage) -> None:
    """For the operator's list; since when, by the node's clock."""
    peer, _ = stage.connect()
    gone, _ = stage.connect()
    gone.lost()
    gc.collect()

    assert stage.node.connections(10) == [peer]
    assert peer.since == int(NOW)


@pytest.mark.parametrize(("margin", "is_open"), [(-1, False), (0, False), (1, True)])
def test_a_margin_that_is_over_is_none(stage: Stage, margin: int, is_open: bool) -> None:
    """A revocation with a margin reaches a node late: what is due by then ends at once."""
    peer = stage.join("alice")
    late = Notice("another", ALICE, ends_at=int(NOW) + margin)
    stage.engine.post(late.encoded(), ALICE.until, lambda _: None)

    assert peer.connection.is_open is is_open
