"""How results reach the callers: once, in time, and even if a callback raises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from itemwire.engines.base import ANSWER_SECONDS, Answer, EngineError

logger = logging.getLogger("itemwire.engines")

T = TypeVar("T")

AT_ONCE: Final = 100  # publishes of one call that wait for their answers together

LATE: Final = "the engine did not answer in time"
IN_TIME: Final = ANSWER_SECONDS * 0.9
BEGIN_SECONDS: Final = ANSWER_SECONDS * 0.75  # until a new channel is there, since a read asked


def tell(answer: Callable[[T], None], result: T) -> None:
    """Call a callback; an exception in it is logged and keeps no other caller waiting."""
    try:
        answer(result)
    except Exception:
        logger.exception("answer_failed")


def in_time(answer: Answer[T], seconds: float = IN_TIME) -> Callable[[T | EngineError], None]:
    """Return a callback that passes on the first result, or an error when time is up."""
    is_answered = False

    def once(result: T | EngineError) -> None:
        nonlocal is_answered
        if not is_answered:
            is_answered = True
            timer.cancel()
            answer(result)

    timer = asyncio.get_running_loop().call_later(seconds, once, EngineError(LATE))
    return once


def begun_in_time(answer: Answer[T], asked_at: float) -> Callable[[T | EngineError], None]:
    """Return a callback for a channel that is made for a read, which came at this loop time.

    Its time is up ahead of the read's own: only who makes the channel can tell that there is
    nothing to read.
    """
    waited = asyncio.get_running_loop().time() - asked_at
    return in_time(answer, BEGIN_SECONDS - waited)


def when_done(answer: Answer[None]) -> Answer[object]:
    """Return a callback that answers None for any result, and passes an error on."""
    return lambda result: answer(result if isinstance(result, EngineError) else None)


def answer_to(future: asyncio.Future[T]) -> Callable[[T], None]:
    """Return a callback that gives a future its result, unless the future is done."""

    def answer(result: T) -> None:
        if not future.done():
            future.set_result(result)

    return answer


def asked(ask: Callable[[Answer[T]], None]) -> asyncio.Future[T | EngineError]:
    """Ask for something that is answered by callback, and return a future of its answer.

    The answer may come when nobody waits for the future any more; then it is ignored.
    """
    answered: asyncio.Future[T | EngineError] = asyncio.get_running_loop().create_future()
    ask(answer_to(answered))
    return answered


async def answer_or_raise(ask: Callable[[Answer[T]], None]) -> T:
    """Ask for something that is answered by callback; return its answer, or raise the error."""
    answer = await asked(ask)
    if isinstance(answer, EngineError):
        raise answer
    return answer


async def answers_of(asks: Sequence[Callable[[Answer[T]], None]]) -> list[T]:
    """Ask in order, some at once, up to the first error, which is raised with its number."""
    answers: list[T] = []
    for begin in range(0, len(asks), AT_ONCE):
        waiting = [asked(ask) for ask in asks[begin : begin + AT_ONCE]]
        for answer in await asyncio.gather(*waiting):
            if isinstance(answer, EngineError):
                which = f"message {len(answers) + 1} of {len(asks)}"
                raise EngineError(f"{which} was not stored: {answer}", answer.fault)
            answers.append(answer)
    return answers
