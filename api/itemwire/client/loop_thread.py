"""An event loop in a thread of its own, for callers that have none."""

import asyncio
import atexit
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from itemwire.client.errors import ClientClosed

T = TypeVar("T")

SLICE_SECONDS: Final = 1.0
"""How long a thread waits without looking up: on Windows nothing else lets Ctrl-C through."""

END_SECONDS: Final = 5.0
"""How long the end of a client may take."""

CALLS_SECONDS: Final = 1.0
"""How long the calls of other threads, and coroutines given to `on`, may take to end."""

ENDING_TURNS: Final = 3
"""Turns of the loop in which the threads that wait are told of the end of their calls."""

_WAITS_FOR_ITSELF: Final = "a function given to on() must not wait for the Client that calls it"


class LoopThread:
    """Runs coroutines for other threads. The interpreter may end while it runs."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self._at_end: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._is_stopped = False

    def end_with(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run this before the loop ends, at the latest when the interpreter does."""
        self._at_end = goodbye
        _running.add(self)

    def run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine to its end; one that waits has a limit of its own."""
        self._check_caller()
        future = asyncio.run_coroutine_threadsafe(call(), self._loop)
        try:
            return _result_of(future)
        except concurrent.futures.CancelledError:
            raise ClientClosed("this Client was closed") from None
        except BaseException:  # an interrupt, too: nobody waits for it any more
            future.cancel()
            raise

    def call(self, call: Callable[[], T]) -> T:
        """Call a function on the loop, and return what it returns."""

        async def run() -> T:
            return call()

        return self.run(run)

    def stop(self) -> None:
        """Say goodbye, and end the loop and its thread; a second time does nothing."""
        _running.discard(self)
        if self._is_stopped or self._process != os.getpid():
            return
        if threading.current_thread() is self._thread:
            raise RuntimeError(_WAITS_FOR_ITSELF)
        self._is_stopped = True
        try:
            future = asyncio.run_coroutine_threadsafe(self._finish(), self._loop)
            with suppress(TimeoutError):
                future.result(END_SECONDS)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(END_SECONDS)
            if not self._thread.is_alive():
                self._loop.close()

    async def _finish(self) -> None:
        """Say goodbye, and let all calls of other threads end before the loop does."""
        if self._at_end is not None:
            await self._at_end()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        late: set[asyncio.Task[Any]] = set()
        if rest:
            _, late = await asyncio.wait(rest, timeout=CALLS_SECONDS)
        for task in late:
            task.cancel()
        for _ in range(ENDING_TURNS):
            await asyncio.sleep(0)

    def _check_caller(self) -> None:
        """Refuse a caller that would wait for ever."""
        if self._process != os.getpid():
            raise RuntimeError("this Client is of the parent process: make one after the fork")
        if self._is_stopped:
            raise ClientClosed("this Client was closed: make a new one")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if loop is self._loop:
            raise RuntimeError(_WAITS_FOR_ITSELF)
        raise RuntimeError("Client would block the event loop: use AsyncClient in coroutines")


def _result_of(future: "concurrent.futures.Future[T]") -> T:
    while True:
        concurrent.futures.wait([future], SLICE_SECONDS)
        if future.done():
            return future.result()


_running: Final[weakref.WeakSet[LoopThread]] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for thread in list(_running):
        thread.stop()
