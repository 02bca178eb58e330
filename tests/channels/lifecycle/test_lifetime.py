"""How long a connection lasts: its expiry, the warning before it, and the grace after."""

from __future__ import annotations

import pytest

from itemwire.channels.limits.bounds import Lifetime
from itemwire.channels.sessions.echo import EchoSession
from itemwire_auth.principal import Grant
from tests.fakes import EVERYTHING, ITEM, NOW, LateEngine, Peer, Rules, Stage, principal

WARNED = Lifetime(warning=60)


def ticks(stage: Stage, peer: Peer, *seconds: float) -> list[float]:
    """Let the clock tick then, and tell when the peer was warned."""
    warned = []
    for after in seconds:
        before = len(peer.saw("expiring"))
        stage.clock.now = NOW + after
        stage.node.tick()
        warned += [after] * (len(peer.saw("expiring")) - before)
    return warned


def refresh(stage: Stage, peer: Peer, rules: Rules, life: int) -> dict[str, object]:
    """Give a peer a token that lives so long from now."""
    peer.says("refresh", token="new")
    caller = principal(expires_at=int(stage.clock.now) + life)
    rules.say(Grant(caller, ITEM, EVERYTHING))
    return peer.sees[-1]


def test_warns_once_ahead_of_the_expiry() -> None:
    """So a client has the time to fetch a token, and need not have a clock (requirement 69)."""
    stage = Stage(lifetime=WARNED)
    peer = stage.join(life=300)

    assert ticks(stage, peer, 239.9, 240, 241, 299) == [240]
    assert peer.saw("expiring") == [{"type": "expiring", "expires_at": int(NOW) + 300}]
    assert ticks(stage, peer, 300) == []
    assert peer.transport.reasons == ["token_expired"]


def test_warns_of_a_short_life_when_half_of_it_is_over() -> None:
    """At once, a client would refresh at once, and so without end."""
    stage, rules = Stage(lifetime=WARNED), Rules()
    peer = stage.join(life=30, reauthorize=rules)
    first = ticks(stage, peer, 14, 15, 16)
    refresh(stage, peer, rules, 30)

    assert first == [15]
    assert ticks(stage, peer, 17, 30, 31, 45) == [31]


@pytest.mark.parametrize(
    ("lifetime", "life"),
    [
        pytest.param(Lifetime(warning=0), 300, id="off"),
        pytest.param(WARNED, 1, id="one-second"),
        pytest.param(Lifetime(warning=60, session=100), 300, id="a-refresh-would-not-help"),
    ],
)
def test_gives_no_warning_that_helps_nobody(lifetime: Lifetime, life: int) -> None:
    """The end comes as ever."""
    stage = Stage(lifetime=lifetime)
    peer = stage.join(life=life)

    assert ticks(stage, peer, *range(300)) == []


def test_warns_nobody_who_left_and_forgets_no_one_who_was_warned() -> None:
    """One entry a connection, at any time."""
    stage = Stage(lifetime=WARNED)
    left, warned, ended = (stage.join(name, life=300) for name in ("left", "warned", "ended"))
    left.session.closed(1000)
    ticks(stage, warned, 240)
    warned.session.closed(1000)
    ticks(stage, ended, 299, 300)

    assert left.saw("expiring") == []
    assert ended.transport.reasons == ["token_expired"]
    assert stage.node._expiry._deadlines._due == {}


def test_warns_only_who_could_refresh() -> None:
    """An echo returns every frame, so the server may send nothing else on its own."""
    stage = Stage(lifetime=WARNED)
    connection, transport = stage.connect(life=300)
    EchoSession(stage.node, connection)
    stage.clock.now = NOW + 240
    stage.node.tick()

    assert transport.frames == []
    assert connection.is_open


def test_says_nothing_ahead_of_the_welcome(late_engine: LateEngine) -> None:
    """`welcome` is the first envelope, and it says `expires_at` itself."""
    stage = Stage(late_engine, lifetime=WARNED)
    peer = stage.join(life=300)
    warned = ticks(stage, peer, 240)
    late_engine.settle()

    assert warned == []
    assert [one["type"] for one in peer.sees] == ["welcome"]


@pytest.mark.parametrize(("after", "is_open"), [(14.9, True), (15, False)])
def test_gives_grace_to_who_is_late(after: float, is_open: bool) -> None:
    """Until then everything goes on; then it ends as it would have."""
    stage = Stage(leeway=2, lifetime=Lifetime(grace=3))
    peer = stage.join(life=10)
    ticks(stage, peer, 11, after)

    assert peer.connection.is_open is is_open
    assert peer.transport.reasons == ([] if is_open else ["token_expired"])


def test_takes_a_refresh_in_the_time_of_grace() -> None:
    """That is what it is for."""
    stage, rules = Stage(lifetime=Lifetime(grace=5)), Rules()
    peer = stage.join(life=10, reauthorize=rules)
    ticks(stage, peer, 12)
    refresh(stage, peer, rules, 100)
    ticks(stage, peer, 50)

    assert peer.connection.is_open


@pytest.mark.parametrize(("limit", "is_open"), [(0, True), (60, False)])
def test_ends_at_its_limit_however_often_it_is_refreshed(limit: int, is_open: bool) -> None:
    """A session that never ends is never asked who it is again (requirement 73)."""
    stage, rules = Stage(lifetime=Lifetime(grace=5, session=limit)), Rules()
    peer = stage.join(life=30, reauthorize=rules)
    replies = []
    for after in range(20, 70, 20):
        ticks(stage, peer, after - 0.1)
        replies.append(refresh(stage, peer, rules, 30) if peer.connection.is_open else None)
        ticks(stage, peer, after)

    assert peer.connection.is_open is is_open
    assert peer.transport.reasons == ([] if is_open else ["token_expired"])
    assert replies[1] is not None
    assert replies[1]["expires_at"] == int(NOW) + (60 if limit else 39 + 30)


def test_tells_the_limit_in_the_welcome() -> None:
    """A client plans by `expires_at`: it must be the end that comes first."""
    stage = Stage(lifetime=Lifetime(session=60))

    assert stage.join(life=300).sees[0]["expires_at"] == int(NOW) + 60
    assert stage.join(life=30).sees[0]["expires_at"] == int(NOW) + 30


def test_a_step_of_the_clock_warns_once_and_ends_once() -> None:
    """Forward, backward and forward again: no immortal socket, no second end (requirement 57)."""
    stage = Stage(lifetime=Lifetime(warning=60, session=7200))
    peer = stage.join(life=4000)
    warned = ticks(stage, peer, 3950, 350, 3950, 3999)
    open_before = peer.connection.is_open
    ticks(stage, peer, 4000, 0, 4000, 7300)

    assert warned == [3950]
    assert open_before
    assert peer.transport.reasons == ["token_expired"]
