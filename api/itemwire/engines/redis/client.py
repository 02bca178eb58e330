"""The only access to redis-py and hiredis: everything that is used of them, typed."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# redis-py's connections and errors are annotated in part only.

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeGuard, cast

from hiredis import pack_command
from redis.asyncio.connection import Connection, parse_url
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    MovedError,
    NoScriptError,
    RedisError,
    ResponseError,
)

__all__ = [
    "AskError",
    "BusyLoadingError",
    "Command",
    "MakeConnection",
    "MovedError",
    "NoScriptError",
    "RedisError",
    "RedisPyConnection",
    "Reply",
    "ResponseError",
    "Word",
    "code_of",
    "is_push",
    "moved_to",
    "options_of",
    "pack_commands",
    "slot_of",
]

Word = str | bytes | float
Command = tuple[Word, ...]
Reply = Any
"""What redis-py makes of a reply: bytes, int, None, or a list of those."""


class RedisPyConnection(Protocol):
    """What is used of redis-py's connection."""

    @property
    def is_connected(self) -> bool:
        """Return whether it has been connected, and not disconnected since."""
        ...

    async def connect(self) -> None:
        """Connect, authenticate and choose the database."""
        ...

    async def send_command(self, *words: Word, check_health: bool) -> None:
        """Send one command."""
        ...

    async def send_packed_command(self, command: bytes, check_health: bool) -> None:
        """Send commands as they are written on the wire."""
        ...

    async def read_response(
        self,
        disable_decoding: bool,
        timeout: float,  # noqa: ASYNC109 - it is redis-py's
        *,
        disconnect_on_error: bool = True,
    ) -> Reply:
        """Read one reply; ResponseError is what the server says no with."""
        ...

    async def disconnect(self, nowait: bool) -> None:
        """Close the connection."""
        ...


PONG_LENGTH: Final = 2

MakeConnection = Callable[[], RedisPyConnection]


def options_of(url: str) -> tuple[Callable[..., RedisPyConnection], dict[str, Any]]:
    """Return what makes connections for a URL, and its options; ValueError if it is not one."""
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", Connection)
    return cast("Callable[..., RedisPyConnection]", kind), options


def pack_commands(commands: Iterable[Command]) -> bytes:
    """Write commands as Redis reads them: in C, a sixth of what redis-py's own way takes."""
    return b"".join(map(pack_command, commands))  # type: ignore[arg-type] # theirs is a tuple of one


def is_push(reply: Reply) -> TypeGuard[list[Reply]]:
    """Return whether a reply is what pub/sub sends: its kind, a name, and data."""
    return isinstance(reply, list) and len(reply) > PONG_LENGTH


def code_of(error: ResponseError) -> str:
    """Return the code that redis-py has cut off from the text of an error; else nothing."""
    return error.status_code or ""


def slot_of(key: str) -> int:
    """Return the slot of a cluster that a key belongs to."""
    return key_slot(key.encode())


def moved_to(error: AskError) -> tuple[str, int, int]:
    """Return host, port and slot of a redirection; the host is empty for the same host."""
    return str(error.host or ""), int(error.port), int(error.slot_id)
