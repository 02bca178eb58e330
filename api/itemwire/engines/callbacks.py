"""How answers reach whoever asked: once, in time, and whatever is done with them there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeVar

from itemwire.engines.base import ANSWER_SECONDS, Answer, EngineError

logger = logging.getLogger("itemwire.engines")

T = TypeVar("T")

LATE: Final = "the engine did not answer in time"


def tell(answer: Callable[[T], None], result: T) -> None:
    """Answer; a fault of whoever asked must not keep the others waiting."""
    try:
        answer(result)
    except Exception:
        logger.exception("answer_failed")


def in_time(answer: Answer[T]) -> Callable[[T | EngineError], None]:
    """Answer once, with an error when the time for answers is up."""
    is_answered = False

    def once(result: T | EngineError) -> None:
        nonlocal is_answered
        if not is_answered:
            is_answered = True
            timer.cancel()
            answer(result)

    timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS * 0.9, once, EngineError(LATE))
    return once


def when_done(answer: Answer[None]) -> Answer[object]:
    """Answer that it was done, whatever came of it, or why it was not."""
    return lambda result: answer(result if isinstance(result, EngineError) else None)


def answer_to(future: asyncio.Future[T]) -> Callable[[T], None]:
    """Make what gives a future its result, unless nobody waits for it any more."""

    def answer(result: T) -> None:
        if not future.done():
            future.set_result(result)

    return answer
