"""The ASGI extension `itemwire.socket`: plain calls in place of `receive` and `send`.

`docs/asgi-extension.md` specifies it. A server that offers it puts
`{"version": VERSION, "detach": detach}` into `scope["extensions"][EXTENSION]`.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from itemwire.messages import Frame

EXTENSION: Final = "itemwire.socket"
VERSION: Final = 1

BOUNDED: Final = "itemwire.bounded"
"""A key of the ASGI scope, which no client can set: the head's parts were counted already."""

STREAM_EXTENSION: Final = "itemwire.stream"
"""The ASGI extension for HTTP responses that never end by themselves, such as server-sent events.

`on_shutdown(end)` registers a function that is called when the server stops, because uvicorn waits
for such a response and does not tell it. `abort()` drops a peer that does not read the end."""


class Rendering(Protocol):
    """Renders messages as bytes for the wire; sockets that share one can share the bytes."""

    def render(self, frame: Frame) -> bytes:
        """Return a whole frame, header and payload, for a text (`str`) or binary message."""
        ...

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Return several rendered frames as one chunk."""
        ...


class Socket(Protocol):
    """The server's side of the extension: what a receiver may call on its socket."""

    __slots__ = ()

    framing: Rendering

    @property
    def write(self) -> Callable[[bytes], object]:
        """The function that sends rendered frames; it never waits, and calls back only `paused`."""
        ...

    def unsent(self) -> int:
        """Return the number of bytes that were written and are still in this process."""
        ...

    def discard(self) -> None:
        """Drop the unsent bytes, as far as the transport can."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after the unsent bytes, and end in bounded time."""
        ...


class Receiver(Protocol):
    """The application's side: what the server calls, in the event loop, one call at a time."""

    def opened(self) -> None:
        """Start: called once, before every other call."""
        ...

    def received(self, frame: Frame) -> None:
        """Take one message."""
        ...

    def pinged(self, size: int) -> bool:
        """Return whether a ping with this many payload bytes is too much; it gets no answer then.

        Also called for an unsolicited pong, which is never answered.
        """
        ...

    def paused(self) -> None:
        """Stop writing for now; may be called from within a write."""
        ...

    def writable(self) -> None:
        """Resume writing; never called from within a write."""
        ...

    def ending(self, code: int, reason: str) -> None:
        """Write the last messages: the server then closes with this code, unless this closes."""
        ...

    def gone(self) -> None:
        """Take `write` anew, which does nothing now: the peer is gone, and `closed` comes soon."""
        ...

    def closed(self, code: int) -> None:
        """Stop: called once, after every other call, with 1006 if no close frame came."""
        ...


Detach = Callable[[Callable[[Socket], Receiver]], None]
"""Hands an accepted socket over to the receiver that the given function makes for it."""
