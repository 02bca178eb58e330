"""The time limits of all handshakes share one timer, and each handshake ends alone."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import WebSocketException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from itemwire.authorization import deadline
from itemwire.authorization.deadline import DecisionDeadlines, end_deadline


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> DecisionDeadlines:
    """Those of a route, whose dependencies have hardly any time."""
    monkeypatch.setattr(deadline, "DECISION_SECONDS", 0.01)
    return DecisionDeadlines()


def handshake() -> Scope:
    """Describe one, as far as it matters."""
    return {"type": "websocket", "path": "/items/42/ws"}


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
            deadlines.enforce(handshake(), hang()),
            deadlines.enforce(scope, stay()),
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
        asyncio.run(deadlines.enforce(scope, hold_out()))


def test_is_given_up_by_others_as_ever(deadlines: DecisionDeadlines) -> None:
    """A server that stops cancels; that is no decision that came late."""

    async def play() -> None:
        task = asyncio.create_task(deadlines.enforce(handshake(), hang()))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(play())


def test_serves_one_event_loop_after_the_other(deadlines: DecisionDeadlines) -> None:
    """An application may be started anew, as tests do."""
    for _ in range(2):
        with pytest.raises(WebSocketException):
            asyncio.run(deadlines.enforce(handshake(), hang()))
