"""Asks the program for a token, one call at a time and with a limit of time."""

import asyncio
import contextvars
import inspect
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from itemwire.client.clock import ClientClock, Limit
from itemwire.client.errors import Unauthorized

_HEADER_TEXT: Final = re.compile(r"[\x21-\x7e]+").fullmatch


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Why a token is asked for.

    `reason` is `connect`, `refused` (the last one was not accepted: do not give a cached one) or
    `expiring`. `attempt` counts from 1.
    """

    reason: str
    attempt: int


Token = str | Callable[..., str | Awaitable[str | None] | None] | None
"""A token, or a function that returns one: it takes nothing, or a `TokenRequest`.

A coroutine function runs on the client's event loop, any other in a thread of its own, because it
may block. It returns None, or raises `Unauthorized`, when nobody is signed in.
"""


class TokenSource:
    """A token, or where new ones come from."""

    def __init__(self, token: Token, clock: ClientClock, seconds: float) -> None:
        self._token = _checked(token) if isinstance(token, str) else token
        self._clock = clock
        self._seconds = seconds
        self._thread_call: asyncio.Future[object] | None = None

    @property
    def gives_new_ones(self) -> bool:
        """Return whether asking again may help."""
        return callable(self._token)

    def forget(self) -> None:
        """Keep no token of the user who has left; a function is asked again."""
        if isinstance(self._token, str):
            self._token = None

    async def get(self, request: TokenRequest) -> str | None:
        """Return a token, or None if the client was given none.

        Raises `Unauthorized`, TimeoutError, and whatever the function raises.
        """
        if not callable(self._token):
            return self._token
        async with Limit(self._clock, self._seconds):
            token = await self._ask(self._token, request)
        if token is None:
            raise Unauthorized
        if not isinstance(token, str):
            raise TypeError(f"the token source returned a {type(token).__name__}, and no text")
        return _checked(token)

    async def _ask(self, source: Callable[..., Any], request: TokenRequest) -> object:
        arguments = (request,) if _takes_one(source) else ()
        if _is_coroutine_function(source):
            return await source(*arguments)
        if self._thread_call is not None:  # an earlier call still hangs: never two at once
            await asyncio.wait([self._thread_call])
        call = self._thread_call = _in_thread(source, arguments)
        result = await asyncio.shield(call)
        return await result if inspect.isawaitable(result) else result


def _in_thread(
    source: Callable[..., object], arguments: tuple[object, ...]
) -> "asyncio.Future[object]":
    """Call a function that may block, in a thread that does not hold up the interpreter's end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[object] = loop.create_future()
    done.add_done_callback(_read_outcome)
    context = contextvars.copy_context()

    def tell(result: object, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        try:
            outcome: tuple[object, BaseException | None] = (context.run(source, *arguments), None)
        except Exception as error:  # noqa: BLE001 - told to who asked
            outcome = (None, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=run, name="itemwire-token", daemon=True).start()
    return done


def _read_outcome(done: "asyncio.Future[object]") -> None:
    """Look at the exception of a call that nobody waits for any more: it is no fault."""
    if not done.cancelled():
        done.exception()


def _takes_one(source: Callable[..., object]) -> bool:
    """Return whether a function has a parameter for the request, one without a default."""
    try:
        parameters = inspect.signature(source).parameters.values()
    except (TypeError, ValueError):  # a callable of C says nothing
        return False
    return any(
        one.default is one.empty and one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}
        for one in parameters
    )


def _is_coroutine_function(source: Callable[..., object]) -> bool:
    call = getattr(source, "__call__", None)  # noqa: B004 - an object may have an async one
    return inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(call)


def _checked(token: str) -> str:
    """Return a token that a header can hold; the error does not show it."""
    if _HEADER_TEXT(token) is None:
        raise ValueError("the token is empty, or has white space or other unusable characters")
    return token
