"""Finds the server that runs this process, and does something before it shuts down."""

import contextlib
import signal
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Stoppable(Protocol):
    """A server that says whether it is about to stop, as uvicorn's does."""

    should_exit: bool


@runtime_checkable
class ShutsDown(Protocol):
    """A server that shuts down in a method of its own, as uvicorn's does."""

    shutdown: Callable[..., Awaitable[None]]


def find_server() -> Stoppable | None:
    """Return the server that runs this process, the one that handles SIGTERM; None elsewhere.

    An application has no other way to reach it: the lifespan's shutdown comes only after all
    responses have ended, and all sockets.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, Stoppable) else None


@contextlib.contextmanager
def before_shutdown(first: Callable[[], Awaitable[None]]) -> Generator[None]:
    """Have the server do something first when it shuts down, if it is one that can be found."""
    server = find_server()
    if not isinstance(server, ShutsDown):
        yield
        return
    shutdown = server.shutdown

    async def shutdown_after(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the server's
        await first()
        await shutdown(*args, **kwargs)

    server.shutdown = shutdown_after
    try:
        yield
    finally:
        server.shutdown = shutdown
