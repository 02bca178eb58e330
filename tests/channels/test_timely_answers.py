"""Every way to ask is answered in time, whichever step of the engine never ends.

The clock stands still until a test moves it, and an engine that is not stepped never answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from itemwire.channels.delivery.recovery import LIVE, StartPoint
from itemwire.channels.timely_answers import LATE_TURN, REFUSE_SECONDS, TimelyAnswers
from itemwire.engines.base import ANSWER_SECONDS, EngineError
from itemwire.messages import Position
from tests.fakes import (
    EVERYTHING,
    ITEM,
    PLAIN,
    Clock,
    ItemRules,
    LateEngine,
    ManualTimers,
    Stage,
)
from tests.fakes.stage import Talker

SLOW: Final = 1.5  # seconds for which the engine does its first steps
STEPS: Final = 2  # of each call: it arrives, and it is answered
PAST: Final = StartPoint(Position("another", 3), replay=5)  # read once for it, once for the replay

Outcome = Callable[[], object]


def says(peer: Talker[Any], kind: str, **fields: object) -> None:
    """Send an envelope that is not answered yet."""
    peer.session.received(msgspec.json.encode({"type": kind, "ref": 7, **fields}).decode())


def outcome_of(peer: Talker[Any]) -> object:
    """Return the reason of the close, else the code or the type of the answer, or None."""
    answers = [one for one in peer.sees if one.get("ref") == 7 or one["type"] == "welcome"]
    last = answers[-1] if answers else {}
    return next(iter(peer.transport.reasons), last.get("code", last.get("type")))


def joined(stage: Stage, engine: LateEngine) -> Talker[Any]:
    """Return a client that is on its item."""
    peer = stage.join()
    engine.settle()
    return peer


def publish(stage: Stage, engine: LateEngine) -> Outcome:
    """Publish on a socket of one item."""
    peer = joined(stage, engine)
    says(peer, "publish", data=1)
    return lambda: outcome_of(peer)


def publish_plain(stage: Stage, engine: LateEngine) -> Outcome:
    """Publish without envelopes, where a failure is the end and success says nothing."""
    peer = stage.join(codec=PLAIN)
    engine.settle()
    peer.session.received("1")
    return lambda: (peer.transport.reasons or ["reply"])[0]


def read(stage: Stage, engine: LateEngine) -> Outcome:
    """Read the history."""
    peer = joined(stage, engine)
    says(peer, "history")
    return lambda: outcome_of(peer)


def join(start: StartPoint) -> Callable[[Stage, LateEngine], Outcome]:
    """Join an item with its own socket."""

    def way(stage: Stage, _engine: LateEngine) -> Outcome:
        peer = stage.join(start=start)
        return lambda: outcome_of(peer)

    return way


def join_of_many(stage: Stage, _engine: LateEngine) -> Outcome:
    """Join on a socket of many items."""
    peer = stage.open(ItemRules({ITEM: EVERYTHING}))
    says(peer, "join", item=ITEM)
    return lambda: outcome_of(peer)


def publish_early(stage: Stage, _engine: LateEngine) -> Outcome:
    """Publish before the welcome: the frame waits for the join."""
    peer = stage.join()
    says(peer, "publish", data=1)
    return lambda: outcome_of(peer)


def publish_early_of_many(stage: Stage, _engine: LateEngine) -> Outcome:
    """Publish to an item that is being joined."""
    peer = stage.open(ItemRules({ITEM: EVERYTHING}))
    peer.session.received(msgspec.json.encode({"type": "join", "item": ITEM}).decode())
    says(peer, "publish", item=ITEM, data=1)
    return lambda: outcome_of(peer)


def disconnect(stage: Stage, _engine: LateEngine) -> Outcome:
    """Have a connection ended on every node, as an administrator does."""
    told: list[object] = []
    stage.node.disconnect("nobody", told.append)
    return lambda: type(told[0]).__name__ if told else None


OVERLOADED: Final = "overloaded"

WAYS: Final = {
    "publish": (publish, 1, OVERLOADED, "reply"),
    "publish-plain": (publish_plain, 1, OVERLOADED, "reply"),
    "history": (read, 1, OVERLOADED, "reply"),
    "join": (join(LIVE), 2, OVERLOADED, "welcome"),
    "join-since-and-replay": (join(PAST), 3, OVERLOADED, "welcome"),
    "join-of-many": (join_of_many, 2, OVERLOADED, "welcome"),
    "publish-early": (publish_early, 3, OVERLOADED, "reply"),
    "publish-early-of-many": (publish_early_of_many, 3, OVERLOADED, "reply"),
    "disconnect": (disconnect, 1, "EngineError", "int"),
}
"""Each way to ask, the calls of the engine that it takes, a refusal, and what it is answered."""


@pytest.mark.parametrize(
    ("name", "steps"),
    [(name, steps) for name, row in WAYS.items() for steps in range(row[1] * STEPS)],
)
def test_is_refused_in_time_whichever_step_never_ends(name: str, steps: int) -> None:
    """What the steps before it took does not come on top (requirement 143)."""
    way, _, refusal, answer = WAYS[name]
    engine = LateEngine()
    stage = Stage(engine)
    outcome = way(stage, engine)
    for _ in range(steps):
        stage.pass_time(SLOW / steps)
        engine.step()
    stage.pass_time(ANSWER_SECONDS - (SLOW if steps else 0))

    assert outcome() in {refusal, "not_joined"}
    engine.settle()  # too late: what comes now changes nothing
    stage.settle()
    assert outcome() in {refusal, "not_joined"}
    assert outcome() != answer


@pytest.mark.parametrize("name", WAYS)
def test_is_answered_by_an_engine_that_is_slow(name: str) -> None:
    """The accepted twin: all steps end, just before the time is up."""
    way, calls, _, answer = WAYS[name]
    engine = LateEngine()
    stage = Stage(engine)
    outcome = way(stage, engine)
    for _ in range(calls * STEPS):
        stage.pass_time(SLOW / (calls * STEPS))
        engine.step()
    stage.settle()
    assert outcome() == answer
    stage.pass_time(2 * ANSWER_SECONDS)

    assert outcome() == answer
    assert not stage.waits


@pytest.fixture
def timers() -> ManualTimers:
    """Timers by a clock that stands still."""
    return ManualTimers(Clock())


def test_refuses_each_request_at_its_own_time(timers: ManualTimers) -> None:
    """However many wait, by one timer."""
    answers = TimelyAnswers(timers)
    began = timers.clock.now
    refused_at: list[float] = []
    for _ in range(3):
        answers.limit(lambda _: refused_at.append(timers.clock.now - began))
        timers.pass_time(0.5)
    timers.pass_time(ANSWER_SECONDS)

    own = [REFUSE_SECONDS + LATE_TURN + 0.5 * number for number in range(3)]
    assert refused_at == pytest.approx(own)
    assert refused_at[0] < ANSWER_SECONDS
    assert not timers.waits


def test_lets_an_answer_be_read_that_came_while_nobody_could(timers: ManualTimers) -> None:
    """A process that was held up has the answer, and has not looked yet."""
    answers, told = TimelyAnswers(timers), list[object]()
    answer = answers.limit(told.append)
    timers.clock.now += 10
    timers.make_later_calls()
    answer(1)
    timers.pass_time(10)

    assert told == [1]


def test_what_has_waited_for_its_whole_time_is_refused_at_once(timers: ManualTimers) -> None:
    """The engine is asked all the same, and a later answer is not passed on."""
    answers, told = TimelyAnswers(timers), list[object]()
    with answers.counting_from(timers.clock.now - ANSWER_SECONDS):
        answer = answers.limit(told.append)
    answer(1)

    assert [type(one) for one in told] == [EngineError]
