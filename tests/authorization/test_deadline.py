"""The time limits of all handshakes share one timer, and each handshake ends alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

import pytest
from fastapi import WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Message, Scope

from itemwire.authorization import deadline
from itemwire.authorization.deadline import (
    DecisionDeadlines,
    LateDecision,
    decided,
    decision_due,
    end_deadline,
)
from itemwire.authorization.solving import DependencyFailed


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> DecisionDeadlines:
    """Those of a route, whose dependencies have hardly any time."""
    monkeypatch.setattr(deadline, "DECISION_SECONDS", 0.01)
    return DecisionDeadlines()


def handshake() -> Scope:
    """Describe one, as far as it matters."""
    return {"type": "websocket", "path": "/items/42/ws"}


async def unheard(_: Message) -> None:
    """Stand for the way to a client that nothing is sent to here."""
    raise AssertionError


async def hang() -> None:
    """Decide nothing."""
    await asyncio.Event().wait()


def test_gives_up_only_what_hangs(
    deadlines: DecisionDeadlines, caplog: pytest.LogCaptureFixture
) -> None:
    """Who was let in stays, though it was asked about by the same timer (requirement 66)."""
    scope = handshake()
    served: list[str] = []

    async def stay() -> None:
        end_deadline(HTTPConnection(scope))
        await asyncio.sleep(0.05)
        served.append("to the end")

    async def play() -> tuple[BaseException | None, BaseException | None]:
        return await asyncio.gather(
            deadlines.enforce(handshake(), unheard, hang()),
            deadlines.enforce(scope, unheard, stay()),
            return_exceptions=True,
        )

    hung, stayed = asyncio.run(play())

    assert isinstance(hung, WebSocketException)
    assert (hung.code, hung.reason) == (1013, "overloaded")
    assert (stayed, served) == (None, ["to the end"])
    assert [record.getMessage() for record in caplog.records] == [
        "decision_late path='/items/42/ws'"
    ]


def test_refuses_what_goes_on_when_it_is_given_up(deadlines: DecisionDeadlines) -> None:
    """A dependency that takes no end for an answer must not let anybody in."""
    scope = handshake()

    async def hold_out() -> None:
        try:
            await hang()
        except asyncio.CancelledError:
            end_deadline(HTTPConnection(scope))

    with pytest.raises(WebSocketException):
        asyncio.run(deadlines.enforce(scope, unheard, hold_out()))


def test_is_given_up_by_others_as_ever(deadlines: DecisionDeadlines) -> None:
    """A server that stops cancels; that is no decision that came late."""

    async def play() -> None:
        task = asyncio.create_task(deadlines.enforce(handshake(), unheard, hang()))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(play())


def test_serves_one_event_loop_after_the_other(deadlines: DecisionDeadlines) -> None:
    """An application may be started anew, as tests do."""
    for _ in range(2):
        with pytest.raises(WebSocketException):
            asyncio.run(deadlines.enforce(handshake(), unheard, hang()))


async def hold_on(until: asyncio.Event) -> None:
    """Swallow every cancellation until this is over."""
    while not until.is_set():
        with suppress(asyncio.CancelledError):
            await until.wait()


def test_refuses_what_swallows_its_cancellation(
    deadlines: DecisionDeadlines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The task cannot be ended, but its client is told; one that lets go is told once."""
    monkeypatch.setattr(deadline, "LAST_SECONDS", 0.01)
    sent: list[Message] = []

    async def play() -> None:
        over, told = asyncio.Event(), asyncio.Event()

        async def send(message: Message) -> None:
            sent.append(message)
            told.set()

        with pytest.raises(WebSocketException):
            await deadlines.enforce(handshake(), unheard, hang())
        await asyncio.sleep(0.03)  # past the time that it had to let go
        assert asyncio.all_tasks() == {asyncio.current_task()}
        stuck = asyncio.create_task(deadlines.enforce(handshake(), send, hold_on(over)))
        await asyncio.wait_for(told.wait(), 5)
        assert not stuck.done()
        over.set()
        await stuck

    asyncio.run(play())

    assert sent == [{"type": "websocket.close", "code": 1013, "reason": "overloaded"}]
    assert [record.getMessage().split()[0] for record in caplog.records] == [
        "decision_late",
        "decision_stuck",
    ]


async def says(word: str) -> str:
    """Decide at once."""
    return word


async def fails() -> str:
    """Raise what is for whoever asked."""
    raise LookupError("mine")


async def cancels_itself() -> str:
    """End its own task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    raise AssertionError


def in_time(deciding: Coroutine[None, None, str], seconds: float = 60) -> str:
    """Return what is decided within so many seconds."""

    async def play() -> str:
        return await decided(deciding, asyncio.get_running_loop().time() + seconds)

    return asyncio.run(play())


def test_a_decision_in_time_is_returned_or_raised() -> None:
    """Whatever it is; only a cancellation of its own stands for a failure."""
    assert in_time(says("yes")) == "yes"
    with pytest.raises(LookupError, match="mine"):
        in_time(fails())
    with pytest.raises(DependencyFailed):
        in_time(cancels_itself())


@pytest.mark.parametrize("seconds", [0.01, 0.0, -5.0])
def test_a_late_decision_has_let_go_before_that_is_told(seconds: float) -> None:
    """Also one that was due before it was asked for."""
    events: list[str] = []

    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            events.append("let go")
        raise AssertionError

    with pytest.raises(LateDecision):
        in_time(slow(), seconds)

    assert events == ["let go"]


def test_nobody_waits_for_what_swallows_its_cancellation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither whoever asked, nor a server that stops; what it raises later is nobody's concern."""
    monkeypatch.setattr(deadline, "LAST_SECONDS", 0.01)

    async def stubborn(over: asyncio.Event) -> str:
        await hold_on(over)
        raise LookupError("too late")

    async def play() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        with pytest.raises(LateDecision):
            await decided(stubborn(over), loop.time())
        asking = asyncio.create_task(decided(stubborn(over), loop.time() + 60))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        over.set()
        left_behind = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(left_behind) == 2
        await asyncio.wait(left_behind)

    asyncio.run(play())

    assert caplog.records == []


def test_a_decision_is_due_ten_seconds_after_it_is_asked_for() -> None:
    """Users are promised as much; what is cancelled has one second more."""

    async def play() -> float:
        return decision_due() - asyncio.get_running_loop().time()

    assert asyncio.run(play()) == pytest.approx(10, abs=0.5)
    assert deadline.LAST_SECONDS == 1
