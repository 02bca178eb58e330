"""Asks the sentinels of a service which server is its primary, at each new connection.

A node that has lost its server, or sees that it has become a replica, connects anew, and so finds
the one that has taken over.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from typing_extensions import override

from itemwire.engines.redis.client import (
    MakeConnection,
    RedisError,
    RedisPyConnection,
    Reply,
    Word,
)

ASK_SECONDS: Final = 0.4  # for all of them at once, of the second that a connection may take

Address = tuple[str, int]


class Sentinels:
    """The sentinels of one service, and how to connect to each of them."""

    def __init__(
        self,
        service: str,
        addresses: Sequence[Address],
        connection_to: Callable[[Address], RedisPyConnection],
    ) -> None:
        self._service = service
        self._addresses = addresses
        self._connection_to = connection_to

    def maker(
        self, kind: Callable[..., RedisPyConnection], options: dict[str, Any]
    ) -> MakeConnection:
        """Return what makes connections to whichever server is the primary then."""

        def make_at(address: Address) -> RedisPyConnection:
            return kind(**options | {"host": address[0], "port": address[1]})

        return lambda: SentinelConnection(self, make_at)

    async def find_primary(self) -> Address:
        """Return the address that most of them name; OSError if none names one."""
        asked = [asyncio.create_task(self._ask(one)) for one in self._addresses]
        await asyncio.wait(asked, timeout=ASK_SECONDS)
        for task in asked:
            task.cancel()
        told = await asyncio.gather(*asked, return_exceptions=True)
        named = Counter(one for one in told if isinstance(one, tuple))
        if named:
            return named.most_common(1)[0][0]
        faults = {str(one) or type(one).__name__ for one in told if isinstance(one, Exception)}
        why = "; ".join(sorted(faults)) or "none answers in time"
        raise OSError(f"no sentinel names a server of {self._service!r}: {why}")

    async def _ask(self, address: Address) -> Address:
        connection = self._connection_to(address)
        try:
            await connection.connect()
            words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
            await connection.send_command(*words, check_health=False)
            named: list[bytes] | None = await connection.read_response(
                disable_decoding=True, timeout=math.inf
            )
        finally:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
        if named is None:
            raise OSError("the sentinel knows no such service")
        host, port = named
        return host.decode(), int(port)


class SentinelConnection(RedisPyConnection):
    """A connection to the server that the sentinels name when it is made."""

    def __init__(
        self, sentinels: Sentinels, make_at: Callable[[Address], RedisPyConnection]
    ) -> None:
        self._sentinels = sentinels
        self._make_at = make_at
        make_at(("localhost", 1))  # so that wrong options are refused at once
        self._made: RedisPyConnection | None = None

    @property
    @override
    def is_connected(self) -> bool:
        """Return whether it has been connected, and not disconnected since."""
        return self._made is not None and self._made.is_connected

    @override
    async def connect(self) -> None:
        """Find the server, and connect to it."""
        self._made = self._make_at(await self._sentinels.find_primary())
        await self._made.connect()

    @override
    async def send_command(self, *words: Word, check_health: bool) -> None:
        """Send one command."""
        await self._connection.send_command(*words, check_health=check_health)

    @override
    async def send_packed_command(self, command: bytes, check_health: bool) -> None:
        """Send commands as they are written on the wire."""
        await self._connection.send_packed_command(command, check_health=check_health)

    @override
    async def read_response(
        self,
        disable_decoding: bool,
        timeout: float,
        *,
        disconnect_on_error: bool = True,
    ) -> Reply:
        """Read one reply; ResponseError is what the server says no with."""
        return await self._connection.read_response(
            disable_decoding=disable_decoding,
            timeout=timeout,
            disconnect_on_error=disconnect_on_error,
        )

    @override
    async def disconnect(self, nowait: bool) -> None:
        """Close the connection, if it was made."""
        if self._made is not None:
            await self._made.disconnect(nowait=nowait)

    @property
    def _connection(self) -> RedisPyConnection:
        if self._made is None:
            raise OSError("it is not connected")
        return self._made
