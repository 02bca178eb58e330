"""Reads a connection that speaks HTTP a little at a time."""

import asyncio
from typing import Final, Protocol, cast

from typing_extensions import override

HEAD_BYTES: Final = 4096  # at most in one read, while a head is read: most heads are smaller
BODY_BYTES: Final = 65_536


class HttpReader(Protocol):
    """The HTTP class of a connection, as what reads for it sees it."""

    reading_head: bool

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        ...

    def eof_received(self) -> None:
        """Take note that the peer sends nothing more."""
        ...

    def pause_writing(self) -> None:
        """Write no more for now."""
        ...

    def resume_writing(self) -> None:
        """Write again."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything."""
        ...


class BoundedReads(asyncio.BufferedProtocol):
    """Stands between a transport and an HTTP class, and bounds how much one read brings.

    An event loop reads all that a socket has, up to 256 KiB, and does so for every socket that has
    something before it serves any other. A stranger with hundreds of connections full of requests
    would have all of that copied in one turn, and kept until the requests get their places.
    """

    __slots__ = ("_buffer", "_http")

    _buffer: bytearray  # of the read that is under way: each has its own, since loops may overlap

    def __init__(self, http: HttpReader) -> None:
        self._http = http

    @override
    def get_buffer(self, sizehint: int) -> bytearray:
        self._buffer = bytearray(HEAD_BYTES if self._http.reading_head else BODY_BYTES)
        return self._buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(memoryview(self._buffer)[:nbytes])
        del self._buffer
        self._http.data_received(data)

    @override
    def eof_received(self) -> None:
        self._http.eof_received()

    @override
    def pause_writing(self) -> None:
        self._http.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._http.resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._http.connection_lost(exc)


class _Released(asyncio.BaseProtocol):
    """Stands in for a reader that is done; all transports share its methods."""

    @staticmethod
    def get_buffer(_sizehint: int) -> bytearray:
        return bytearray(HEAD_BYTES)

    @staticmethod
    def buffer_updated(_nbytes: int) -> None:
        """Do nothing: it is replaced before anything is read."""


_RELEASED: Final = cast("asyncio.BufferedProtocol", _Released())


def release(transport: asyncio.Transport) -> None:
    """Free what has read for a transport, whose next protocol is about to be set.

    A transport of uvloop keeps the methods of its last buffered protocol for as long as it lives,
    and by them an HTTP connection of 5 KB behind each WebSocket.
    """
    transport.set_protocol(_RELEASED)
