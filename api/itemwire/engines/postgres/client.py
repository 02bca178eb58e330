"""The door to asyncpg, which has no types: everything used of it, typed."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# asyncpg is not annotated.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, cast

import asyncpg

Row = Any
"""A row of an answer: its columns by number."""

PROBLEMS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What asyncpg says that it raises; it raises others too."""

FROM_SERVER: Final[type[Exception]] = asyncpg.PostgresError
"""What the server says about a statement; anything else is about the connection."""

IS_LOCKED: Final[tuple[type[Exception], ...]] = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
)


class AsyncpgConnection(Protocol):
    """What is used of asyncpg's connection."""

    async def execute(self, query: str, *values: object) -> str:
        """Run statements, without their rows."""
        ...

    async def fetch(self, query: str, *values: object) -> list[Row]:
        """Run one statement, and return its rows."""
        ...

    async def fetchval(self, query: str, *values: object) -> Any:  # noqa: ANN401 - any column
        """Run one statement, and return the first column of its first row."""
        ...

    async def fetchrow(self, query: str, *values: object) -> Row:
        """Run one statement, and return its first row."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """Return a transaction, which commits at its end, or rolls back on an error."""
        ...

    async def add_listener(
        self, channel: str, callback: Callable[[object, int, str, str], None]
    ) -> None:
        """Call back with each notification, and the process it comes from."""
        ...

    def add_termination_listener(self, callback: Callable[[object], None]) -> None:
        """Call back when the connection has ended, as far as asyncpg notices."""
        ...

    def get_server_pid(self) -> int:
        """Return the number of the server's process for this connection."""
        ...

    def is_closed(self) -> bool:
        """Return whether nothing can be asked any more."""
        ...

    def terminate(self) -> None:
        """End the connection at once, and call its termination listeners."""
        ...

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - it is asyncpg's
        """End the connection in order."""
        ...


async def connect(url: str, seconds: float, **options: object) -> AsyncpgConnection:
    """Connect to one of the servers of a URL.

    asyncpg asks a new connection whether its server takes writes, and forgets the connection if
    that is cancelled or fails: it would stay open for as long as the process runs.
    """
    opened: list[AsyncpgConnection] = []

    class Tracked(asyncpg.Connection):  # type: ignore[misc] # it is untyped
        __slots__ = ()

        def __init__(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - asyncpg's
            super().__init__(*args, **more)
            opened.append(cast("AsyncpgConnection", self))

    try:
        return await _connect(url, timeout=seconds, connection_class=Tracked, **options)
    except BaseException:
        for connection in opened:
            connection.terminate()
        raise


_connect: Final = cast("Callable[..., Awaitable[AsyncpgConnection]]", asyncpg.connect)
