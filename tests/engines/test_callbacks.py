"""How answers reach the callers that asked."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from itemwire.engines import callbacks as answers
from itemwire.engines.base import Answer, EngineError
from itemwire.engines.callbacks import (
    AT_ONCE,
    answer_or_raise,
    answer_to,
    answers_of,
    in_time,
    tell,
    when_done,
)


def test_a_fault_of_who_asked_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Others wait for their answers behind it."""

    def fail(_result: int) -> None:
        raise ZeroDivisionError

    heard: list[int] = []
    for answer in (fail, heard.append):
        tell(answer, 1)

    assert heard == [1]
    assert "answer_failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_answers_once_with_what_came_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result in time, or that the time was up; what comes later is no second answer."""
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 0.02)

    async def scene() -> tuple[list[object], list[object]]:
        quick: list[object] = []
        late: list[object] = []
        told = asyncio.Event()

        def take(result: object) -> None:
            late.append(result)
            told.set()

        in_time(quick.append)(1)
        answer = in_time(take)
        await told.wait()
        answer(2)
        return quick, late

    quick, late = asyncio.run(scene())

    assert quick == [1]
    assert [str(one) for one in late] == [answers.LATE]


def test_tells_that_it_was_done_and_nothing_of_the_result() -> None:
    """Of an error all: it is why it was not done."""
    problem = EngineError("it is away")
    heard: list[EngineError | None] = []
    for result in (["a row"], None, problem):
        when_done(heard.append)(result)

    assert heard == [None, None, problem]


def test_nobody_is_answered_who_waits_no_more() -> None:
    """A start that was given up must end with its own reason."""

    async def scene() -> list[object]:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[int] = loop.create_future()
        gone: asyncio.Future[int] = loop.create_future()
        gone.cancel()
        for future in (waiting, gone):
            answer_to(future)(1)
        return [waiting.result(), gone.cancelled()]

    assert asyncio.run(scene()) == [1, True]


def reply(result: int | EngineError, answer: Answer[int]) -> None:
    """Answer at once."""
    answer(result)


def test_an_error_that_is_answered_is_raised() -> None:
    """Coroutines hear of errors by exceptions."""
    assert asyncio.run(answer_or_raise(partial(reply, 1))) == 1
    with pytest.raises(EngineError, match="away"):
        asyncio.run(answer_or_raise(partial(reply, EngineError("away"))))


def test_many_are_asked_in_order_up_to_the_first_error() -> None:
    """What comes after the error of one turn is not asked for."""
    asked: list[int] = []

    def ask(number: int, answer: Answer[int]) -> None:
        asked.append(number)
        reply(EngineError("full") if number == 3 else number, answer)

    good = [partial(reply, number) for number in range(2 * AT_ONCE + 1)]
    assert asyncio.run(answers_of(good)) == list(range(2 * AT_ONCE + 1))
    with pytest.raises(EngineError, match="message 4 of 300 was not stored: full"):
        asyncio.run(answers_of([partial(ask, number) for number in range(300)]))

    assert asked == list(range(AT_ONCE))
