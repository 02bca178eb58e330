"""A revocation with a margin: its clients are warned, and refresh or are closed."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.notices import Notice, read_notice
from itemwire.channels.limits.bounds import Lifetime
from itemwire.channels.reauthorization import Denied
from itemwire.channels.sessions.echo import EchoSession
from itemwire.close_reasons import TOKEN_REVOKED
from itemwire.engines.base import EngineError
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.revocation import Revocation
from itemwire_auth.rights import ScopeSet
from tests.fakes import (
    EVERYTHING,
    ITEM,
    NOW,
    PLAIN,
    LateEngine,
    Peer,
    Rules,
    Stage,
    principal,
)

MARGIN = 30
END = int(NOW) + MARGIN
OLD_ONES = Revocation(NOW + 7200, subject="alice", issued_before=NOW)


@pytest.fixture
def rules() -> Rules:
    """Rules that say nothing yet."""
    return Rules()


def revoke(
    stage: Stage, revocation: Revocation = OLD_ONES, margin: float = MARGIN
) -> list[int | EngineError]:
    """Take tokens back with a margin, and give the answer once it comes."""
    answers: list[int | EngineError] = []
    stage.node.revoke(revocation, answers.append, margin=margin)
    return answers


def at(stage: Stage, seconds: float) -> None:
    """Let the clock tick so long after the start."""
    stage.clock.now = NOW + seconds
    stage.node.tick()


def refresh(peer: Peer, rules: Rules, *, issued_at: int, expires_at: int = int(NOW) + 600) -> str:
    """Refresh with a token of then, and give the type of the answer."""
    caller = Principal(None, "alice", ScopeSet(), expires_at, issued_at=issued_at)
    peer.says("refresh", token="new", ref="r")
    rules.say(Grant(caller, ITEM, EVERYTHING))
    return str(peer.sees[-1]["type"])


def test_tells_each_socket_when_it_will_be_ended_and_then_ends_it(stage: Stage) -> None:
    """Until then everything goes on: that is what a margin is (requirement 70)."""
    peer, other = stage.join("alice"), stage.join("bob")

    assert revoke(stage) == [1]

    at(stage, MARGIN - 0.1)
    assert peer.saw("expiring") == [{"type": "expiring", "expires_at": END}]
    assert peer.says("publish", data="still here", ref=1)["offset"] == 1
    at(stage, MARGIN)
    assert peer.transport.reasons == ["token_revoked"]
    assert (other.transport.reasons, other.saw("expiring")) == ([], [])


def test_a_socket_that_is_refreshed_in_time_stays(stage: Stage, rules: Rules) -> None:
    """With a token that is none of those taken back; its own end is then that of this one."""
    peer = stage.join("alice", reauthorize=rules)
    revoke(stage)
    answered = refresh(peer, rules, issued_at=int(NOW))
    at(stage, MARGIN)
    open_after_the_margin = peer.connection.is_open
    at(stage, 600)

    assert answered == "reply"
    assert open_after_the_margin
    assert peer.transport.reasons == ["token_expired"]


def test_a_token_that_was_taken_back_refreshes_nothing(stage: Stage, rules: Rules) -> None:
    """Neither one that was looked at before, nor one that is refused when it is looked at."""
    peer = stage.join("alice", reauthorize=rules)
    revoke(stage)
    too_old = refresh(peer, rules, issued_at=int(NOW) - 1)
    peer.says("refresh", token="taken back", ref="s")
    rules.say(Denied(TOKEN_REVOKED, principal("alice")))
    at(stage, MARGIN - 0.1)
    open_before = peer.connection.is_open
    at(stage, MARGIN)

    assert too_old == "error"
    assert [error["code"] for error in peer.saw("error")] == ["token_revoked"] * 2
    assert open_before
    assert peer.transport.reasons == ["token_revoked"]


def test_opens_no_new_socket_in_the_margin(stage: Stage) -> None:
    """Who has a stolen token must not use the time to come in."""
    staying = stage.join("alice")
    revoke(stage)
    late = stage.join("alice")

    assert late.transport.reasons == ["token_revoked"]
    assert staying.transport.reasons == []


def test_ends_those_that_have_no_word_for_a_refresh(stage: Stage) -> None:
    """Nothing comes of its own accord to a plain client or an echo; the end comes all the same."""
    plain = stage.join("alice", codec=PLAIN)
    connection, transport = stage.connect("alice")
    EchoSession(stage.node, connection)
    revoke(stage)
    at(stage, MARGIN - 0.1)
    before = [*plain.transport.frames, *transport.frames]
    at(stage, MARGIN)

    assert before == []
    assert plain.transport.reasons == transport.reasons == ["token_revoked"]


def test_nothing_reaches_those_that_end_together(stage: Stage) -> None:
    """Whether by the margin or by `exp`, in one tick: not even that the others have left."""
    revoked = [stage.join("alice") for _ in range(2)]
    expired = [stage.join("bob", life=MARGIN) for _ in range(2)]
    revoke(stage)
    before = [len(peer.sees) for peer in (*revoked, *expired)]
    at(stage, MARGIN)

    after = [peer.sees[seen:] for peer, seen in zip((*revoked, *expired), before, strict=True)]
    assert [[one["type"] for one in sees] for sees in after] == [["closing"]] * 4
    assert [one.transport.reasons for one in revoked] == [["token_revoked"]] * 2
    assert [one.transport.reasons for one in expired] == [["token_expired"]] * 2


def test_a_token_that_ends_sooner_ends_as_ever(stage: Stage) -> None:
    """The margin is no reprieve, and its client is told the end that comes first."""
    peer = stage.join("alice", life=10)
    revoke(stage)
    at(stage, 10)

    assert peer.saw("expiring") == [{"type": "expiring", "expires_at": int(NOW) + 10}]
    assert peer.transport.reasons == ["token_expired"]


def test_tells_it_once_where_a_warning_was_due_as_well() -> None:
    """The client has one thing to do, and has been told to do it."""
    stage = Stage(lifetime=Lifetime(warning=60))
    peer = stage.join("alice", life=70)
    revoke(stage)
    at(stage, 20)

    assert len(peer.saw("expiring")) == 1


def test_says_it_in_the_welcome_where_the_join_was_under_way(
    late_stage: Stage, late_engine: LateEngine
) -> None:
    """`welcome` is the first envelope, whatever happened meanwhile."""
    peer = late_stage.join("alice")
    revoke(late_stage)
    late_engine.settle()

    assert [one["type"] for one in peer.sees] == ["welcome"]
    assert peer.sees[0]["expires_at"] == END


@pytest.mark.parametrize(
    ("second", "told", "end"),
    [
        pytest.param(60, [END], MARGIN, id="a-later-end"),
        pytest.param(10, [END, int(NOW) + 10], 10, id="a-sooner-end"),
        pytest.param(0, [END], 0, id="at-once"),
    ],
)
def test_the_end_that_comes_first_counts(
    stage: Stage, second: int, told: list[int], end: int
) -> None:
    """A second revocation does not restore what the first has revoked."""
    peer = stage.join("alice")
    revoke(stage)
    revoke(stage, Revocation(NOW + 7200, subject="alice"), second)
    at(stage, end)

    assert [one["expires_at"] for one in peer.saw("expiring")] == told
    assert peer.transport.reasons == ["token_revoked"]


def test_a_refresh_between_two_revocations_is_no_way_round_the_second(
    stage: Stage, rules: Rules
) -> None:
    """Each is asked about the token there is."""
    peer = stage.join("alice", reauthorize=rules)
    revoke(stage)
    refresh(peer, rules, issued_at=int(NOW))
    revoke(stage, Revocation(NOW + 7200, subject="alice"))
    at(stage, MARGIN)

    assert len(peer.saw("expiring")) == 2
    assert peer.transport.reasons == ["token_revoked"]


def test_does_with_a_margin_what_another_node_says(stage: Stage) -> None:
    """All nodes end their sockets at one time; a notice that comes too late ends them now."""
    peer, late = stage.join("alice"), stage.join("carol")
    for revocation, ends_at in (
        (OLD_ONES, END),
        (OLD_ONES, END),  # an engine may say it again
        (Revocation(NOW + 60, subject="carol"), int(NOW)),
    ):
        notice = Notice("another", revocation, ends_at=ends_at)
        stage.engine.post(notice.encoded(), revocation.until, lambda _: None)
    open_until_then = peer.connection.is_open
    at(stage, MARGIN)

    assert open_until_then
    assert [one["expires_at"] for one in peer.saw("expiring")] == [END]
    assert peer.transport.reasons == ["token_revoked"]
    assert (late.transport.reasons, late.saw("expiring")) == (["token_revoked"], [])


def test_tells_the_other_nodes_when(late_stage: Stage, late_engine: LateEngine) -> None:
    """The moment, not the seconds: a notice may take a while, or come twice."""
    posted: list[bytes] = []
    late_engine.inner._apply = posted.append
    revoke(late_stage, margin=9.5)
    late_engine.settle()

    assert [read_notice(data).ends_at for data in posted] == [int(NOW) + 10]


def test_forgets_who_left_in_the_margin(stage: Stage, rules: Rules) -> None:
    """One entry a connection, whatever has changed its end."""
    left, refreshed = stage.join("alice"), stage.join("alice", reauthorize=rules)
    revoke(stage)
    left.session.closed(1000)
    refresh(refreshed, rules, issued_at=int(NOW))
    refreshed.session.closed(1000)
    at(stage, MARGIN)

    assert stage.node._expiry._deadlines._due == {}
    assert left.transport.reasons == refreshed.transport.reasons == []
