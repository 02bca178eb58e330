"""A refresh: what a newer token changes, what it must not change, and what continues."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from itemwire.channels.reauthorization import Denied
from itemwire.close_reasons import (
    CREDENTIALS_INVALID,
    FORBIDDEN,
    INTERNAL,
    OVERLOADED,
    QUERY_INVALID,
    RATE_LIMITED,
    SCOPE_MISSING,
    CloseReason,
    Retry,
)
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.revocation import Revocation
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
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

LATER = int(NOW) + 7200
READING = frozenset({Action.SUBSCRIBE, Action.HISTORY})


@pytest.fixture
def rules() -> Rules:
    """Rules that say nothing yet."""
    return Rules()


def grant(
    can: frozenset[Action] = EVERYTHING,
    *,
    subject: str = "alice",
    issuer: str | None = None,
    item: str = ITEM,
    expires_at: int = LATER,
) -> Grant:
    """Give what a newer token allows."""
    return Grant(Principal(issuer, subject, ScopeSet(), expires_at), item, can)


def refresh(peer: Peer, rules: Rules, verdict: Grant | Denied) -> dict[str, Any]:
    """Refresh, and give what the client got last."""
    peer.says("refresh", token="new", ref="r")
    rules.say(verdict)
    return peer.sees[-1]


def at(stage: Stage, seconds: float) -> None:
    """Let the clock tick so long after the start."""
    stage.clock.now = NOW + seconds
    stage.node.tick()


def test_answers_until_when_and_what_may_be_done(stage: Stage, rules: Rules) -> None:
    """The reply is the `welcome` of the new token."""
    peer = stage.join(reauthorize=rules)
    reply = refresh(peer, rules, grant(READING))

    assert rules.asked == ["new"]
    assert reply == {
        "type": "reply",
        "ref": "r",
        "expires_at": LATER,
        "can": ["subscribe", "history"],
    }


def test_stays_until_the_new_token_expires(stage: Stage, rules: Rules) -> None:
    """Unless refreshed before, it closes at `exp` (requirement 68): one twin was refreshed."""
    kept, left = stage.join(life=10, reauthorize=rules), stage.join("left", life=10)
    refresh(kept, rules, grant(expires_at=int(NOW) + 100))
    at(stage, 10)
    open_after_the_old = kept.connection.is_open
    at(stage, 100)

    assert left.transport.reasons == ["token_expired"]
    assert open_after_the_old
    assert kept.transport.reasons == ["token_expired"]


def test_ends_sooner_with_a_token_that_expires_sooner(stage: Stage, rules: Rules) -> None:
    """The current token counts, whichever it is."""
    peer = stage.join(life=100, reauthorize=rules)
    refresh(peer, rules, grant(expires_at=int(NOW) + 10))
    at(stage, 10)

    assert peer.transport.reasons == ["token_expired"]


@pytest.mark.parametrize(
    ("lost", "request_", "fields"),
    [
        (Action.PUBLISH, "publish", {"data": "late"}),
        (Action.HISTORY, "history", {}),
        (Action.PRESENCE, "members", {}),
    ],
)
def test_asks_the_current_token_at_each_request(
    stage: Stage, rules: Rules, lost: Action, request_: str, fields: dict[str, object]
) -> None:
    """A lost right is lost at once and nobody hears of the request (requirements 59, 62, 69)."""
    peer, watching = stage.join(reauthorize=rules), stage.join("watching")
    before = peer.says(request_, ref=1, **fields)
    refresh(peer, rules, grant(EVERYTHING - {lost}))
    heard = len(watching.saw("message"))
    after = peer.says(request_, ref=2, **fields)

    assert before["type"] == "reply"
    assert (after["type"], after["code"], after["ref"]) == ("error", "scope_missing", 2)
    assert len(watching.saw("message")) == heard
    assert peer.connection.is_open


def test_may_do_more_after_a_token_with_more_rights(stage: Stage, rules: Rules) -> None:
    """The twin: rights grow as they shrink."""
    peer = stage.join(can=READING, reauthorize=rules)
    before = peer.says("publish", data=1, ref=1)
    refresh(peer, rules, grant())

    assert before["code"] == "scope_missing"
    assert peer.says("publish", data=1, ref=2)["offset"] == 1


def test_gives_no_history_that_was_asked_for_with_a_right_lost_meanwhile(
    late_stage: Stage, late_engine: LateEngine, rules: Rules
) -> None:
    """At once is at once, however slow the engine."""
    peer = late_stage.join(reauthorize=rules)
    late_engine.settle()
    peer.says("history", ref=1)
    refresh(peer, rules, grant(EVERYTHING - {Action.HISTORY}))
    late_engine.settle()

    assert [one["code"] for one in peer.saw("error")] == ["scope_missing"]


def test_shows_who_comes_and_goes_by_the_rights_of_the_moment(stage: Stage, rules: Rules) -> None:
    """Lost, nothing of presence reaches it; won, all from then on does."""
    peer = stage.join(reauthorize=rules)
    stage.join("first")
    refresh(peer, rules, grant(READING))
    stage.join("unseen")
    refresh(peer, rules, grant())
    stage.join("second")

    assert [one["member"]["subject"] for one in peer.saw("joined")] == ["first", "second"]


def test_lists_members_to_who_has_won_the_right(stage: Stage, rules: Rules) -> None:
    """They were not in its welcome; what joins and leaves from then on adds up with the answer."""
    peer = stage.join(reauthorize=rules, can=READING)
    stage.join("first")
    refresh(peer, rules, grant())
    listed = peer.says("members")["members"]
    stage.join("second")

    assert [one["subject"] for one in listed] == ["alice", "first"]
    assert [one["member"]["subject"] for one in peer.saw("joined")] == ["second"]


def test_loses_and_repeats_nothing_in_the_tick_of_a_change(stage: Stage, rules: Rules) -> None:
    """What waits for the end of the tick has two lanes to get lost between (requirement 69)."""
    peer, talking = stage.join(reauthorize=rules), stage.join("talking")
    twin = stage.join("twin")
    for number in range(12):
        talking.session.received(f'{{"type":"publish","data":{number}}}')
        peer.session.received('{"type":"refresh","token":"new"}')
        rules.say(grant(EVERYTHING if number % 2 else READING))
        if number % 3 == 2:
            stage.settle()

    assert [one["data"] for one in peer.saw("message")] == list(range(12))
    assert peer.saw("message") == twin.saw("message")
    kinds = [one["type"] for one in peer.saw("message", "reply")]
    assert kinds == ["message", "reply"] * 12


def test_leaves_no_lane_behind(stage: Stage, rules: Rules) -> None:
    """A channel forgets the lanes that nobody is in."""
    peer = stage.join(reauthorize=rules)
    for can in (READING, EVERYTHING, READING):
        refresh(peer, rules, grant(can))
    (audience,) = stage.node._hub._audiences.values()
    lanes = len(audience.lanes)
    peer.session.closed(1000)

    assert lanes == 1
    assert stage.node._hub._audiences == {}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(grant(READING, subject="bob"), id="subject"),
        pytest.param(grant(READING, issuer="elsewhere"), id="issuer"),
    ],
)
@pytest.mark.parametrize("may", [True, False], ids=["who-may", "who-may-not"])
def test_takes_nobody_elses_token(
    stage: Stage,
    rules: Rules,
    caplog: pytest.LogCaptureFixture,
    other: Grant,
    may: bool,
) -> None:
    """Whatever the other may do here, the connection stays as it was (requirement 69)."""
    peer = stage.join(life=10, reauthorize=rules)
    error = refresh(peer, rules, other if may else Denied(FORBIDDEN, other.principal))

    assert (error["code"], error["temporary"]) == ("credentials_invalid", False)
    assert "refresh_of_another" in caplog.text
    assert "bob" not in str(error)
    assert peer.says("publish", data="mine", ref=2)["offset"] == 1
    assert peer.saw("message")[0]["sender"] == "alice"
    at(stage, 10)
    assert peer.transport.reasons == ["token_expired"]


@pytest.mark.parametrize(
    ("reason", "is_temporary"),
    [
        (CREDENTIALS_INVALID, False),
        (QUERY_INVALID, False),
        (RATE_LIMITED, True),
        (OVERLOADED, True),
        (INTERNAL, True),
    ],
    ids=lambda value: getattr(value, "reason", ""),
)
def test_keeps_the_old_token_where_the_new_one_is_not_known_to_be_refused(
    stage: Stage, rules: Rules, reason: CloseReason, is_temporary: bool
) -> None:
    """A database that is away for a second must not end ten thousand sockets."""
    peer = stage.join(life=10, reauthorize=rules)
    error = refresh(peer, rules, Denied(reason, principal()))

    assert (error["code"], error["temporary"]) == (reason.reason, is_temporary)
    assert "new" not in error["detail"].split()
    assert peer.says("publish", data=1, ref=2)["offset"] == 1
    at(stage, 10)
    assert peer.transport.reasons == ["token_expired"]


@pytest.mark.parametrize("asked_by", [principal(), None], ids=["known", "unknown"])
@pytest.mark.parametrize(
    "reason",
    [FORBIDDEN, SCOPE_MISSING, CloseReason("left_us", 3001, Retry.NEVER, 403, "Own.")],
    ids=lambda reason: reason.reason,
)
def test_ends_who_may_no_longer_be_here(
    stage: Stage, rules: Rules, reason: CloseReason, asked_by: Principal | None
) -> None:
    """With the right to subscribe the item ends, and nothing more is heard of it."""
    peer, watching = stage.join(reauthorize=rules), stage.join("watching")
    last = refresh(peer, rules, Denied(reason, asked_by))
    watching.says("publish", data="after")

    assert peer.transport.closes == [(reason.code, reason.reason)]
    assert (last["type"], last["reason"]) == ("closing", reason.reason)
    assert peer.saw("message", "error") == []
    assert len(watching.saw("left")) == 1


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param(grant(EVERYTHING - {Action.SUBSCRIBE}), id="no-subscribe"),
        pytest.param(grant(item="43"), id="another-item"),
    ],
)
def test_ends_with_a_grant_that_is_none_for_this(
    stage: Stage, rules: Rules, verdict: Grant
) -> None:
    """Rules that forget to refuse grant nothing by that."""
    peer = stage.join(reauthorize=rules)
    refresh(peer, rules, verdict)

    assert peer.transport.reasons == ["forbidden"]


def test_goes_on_with_the_rights_of_before_until_it_is_answered(stage: Stage, rules: Rules) -> None:
    """Nothing waits for a database, and the reply tells from when the new rights count."""
    peer = stage.join(reauthorize=rules)
    peer.says("refresh", token="new", ref="r")
    meanwhile = peer.says("publish", data=1, ref="p")
    rules.say(grant(READING))

    assert meanwhile["offset"] == 1
    assert [one["ref"] for one in peer.saw("reply")] == ["p", "r"]
    assert peer.says("publish", data=2, ref="q")["code"] == "scope_missing"


def test_works_out_one_refresh_at_a_time(stage: Stage, rules: Rules) -> None:
    """A flood of them costs one: the rest is told to come again."""
    peer = stage.join(reauthorize=rules)
    peer.says("refresh", token="first", ref=1)
    second = peer.says("refresh", token="second", ref=2)
    rules.say(grant())
    third = refresh(peer, rules, grant())

    assert (second["code"], second["temporary"], second["ref"]) == ("rate_limited", True, 2)
    assert third["type"] == "reply"
    assert rules.asked == ["first", "new"]


@pytest.mark.parametrize("verdict", [grant(), Denied(FORBIDDEN), Denied(INTERNAL)])
@pytest.mark.parametrize("end", ["lost", "expired"])
def test_finds_nobody_where_the_socket_ended_meanwhile(
    stage: Stage, rules: Rules, verdict: Grant | Denied, end: str
) -> None:
    """Nor brings it back: an immortal entry would be told to end for ever (requirement 68)."""
    peer = stage.join(life=10, reauthorize=rules)
    peer.says("refresh", token="new", ref=1)
    if end == "lost":
        peer.session.closed(1006)
    else:
        at(stage, 10)
    seen = len(peer.sees)
    rules.say(verdict)

    assert len(peer.sees) == seen
    assert stage.node._expiry._deadlines._due == {}
    assert stage.node._hub._audiences == {}


def test_ends_with_a_token_that_expired_while_it_was_worked_out(stage: Stage, rules: Rules) -> None:
    """It was good when it was looked at; the next tick looks again."""
    peer = stage.join(reauthorize=rules)
    peer.says("refresh", token="new", ref=1)
    stage.clock.now = NOW + 20
    rules.say(grant(expires_at=int(NOW) + 10))
    stage.node.tick()

    assert peer.transport.reasons == ["token_expired"]


def test_asks_nothing_for_a_plain_client(stage: Stage, rules: Rules) -> None:
    """What looks like an envelope is a message to it, so nothing need be kept for it."""
    peer = stage.join(codec=PLAIN, reauthorize=rules)
    peer.session.received('{"type":"refresh","token":"new"}')

    assert rules.asked == []
    assert not peer.session.can_refresh
    assert peer.transport.frames == ['{"type":"refresh","token":"new"}']


def test_keeps_the_token_out_of_the_log(
    stage: Stage, rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    """At no level, whatever becomes of it."""
    caplog.set_level(logging.DEBUG)
    peer = stage.join(reauthorize=rules)
    for verdict in (grant(), grant(subject="bob"), Denied(INTERNAL)):
        peer.says("refresh", token="a.b.c")
        rules.say(verdict)

    assert "refreshed channel=" in caplog.text
    assert "a.b.c" not in caplog.text


def test_refuses_a_token_that_was_taken_back_while_it_was_worked_out(
    stage: Stage, rules: Rules
) -> None:
    """It was good when it was looked at; the token of before still is (requirement 71)."""
    peer = stage.join(life=100, reauthorize=rules)
    peer.says("refresh", token="new", ref="r")
    stage.revocations.add(Revocation(NOW + 7200, token_id="t2"))
    rules.say(Grant(Principal(None, "alice", ScopeSet(), LATER, "t2"), ITEM, EVERYTHING))
    error = peer.sees[-1]
    still_here = peer.says("publish", data=1, ref="p")
    at(stage, 100)

    assert (error["code"], error["temporary"], error["ref"]) == ("token_revoked", False, "r")
    assert still_here["offset"] == 1
    assert peer.transport.reasons == ["token_expired"]
