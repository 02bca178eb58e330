"""Puts an end to connections whose peer does not read."""

import asyncio
from typing import Any


class MortalTransport:
    """A transport that is gone `patience` seconds after its end began, whatever the peer does.

    asyncio's `close` first waits for what is buffered to be sent: for ever, if the peer stopped
    reading. Everything but the end is passed on as it is.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, patience: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._patience = patience
        self._deadline: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def begin_end(self) -> None:
        """Start the time after which the connection is cut; later calls do not extend it."""
        if self._deadline is None and not self._transport.is_closing():
            self._deadline = self._loop.call_later(self._patience, self._transport.abort)

    def close(self) -> None:
        """Close once everything buffered is sent, or when the time is up."""
        self.begin_end()
        self._transport.close()

    def linger(self) -> None:
        """Close for writing, and read on until the peer closes or the time is up.

        Closing with input unread makes the kernel send a reset that overtakes the answer (RFC
        9112 section 9.6): a client on asyncio streams, in the middle of 8 MiB, lost the close
        frame with its 1009 in 8 trials of 8.
        """
        if not self._transport.can_write_eof():  # TLS cannot half-close
            self.close()
            return
        self.begin_end()
        self._transport.resume_reading()
        self._transport.write_eof()

    def forget(self) -> None:
        """Stop the time: the connection is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
