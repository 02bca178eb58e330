"""The ASGI extension `itemwire.socket`: an accepted WebSocket goes on by plain calls.

`docs/asgi-extension.md` specifies it. A server that offers it has
`scope["extensions"][EXTENSION] == {"version": VERSION, "detach": detach}`.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from itemwire.messages import Frame

EXTENSION: Final = "itemwire.socket"
VERSION: Final = 1

STREAM_EXTENSION: Final = "itemwire.stream"
"""Another, of HTTP requests: `on_shutdown` takes what is to be called when the server stops, as it
waits for an answer without end; `abort` drops a peer that does not even read the end."""


class Rendering(Protocol):
    """Makes frames into bytes for the wire; sockets with an equal one take the same bytes."""

    def render(self, frame: Frame) -> bytes:
        """Give the whole frame, head and payload, for a text (`str`) or binary message."""
        ...

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Give several in one piece."""
        ...


class Socket(Protocol):
    """The server's side of the extension: a socket as its receiver writes to it."""

    __slots__ = ()

    framing: Rendering

    @property
    def write(self) -> Callable[[bytes], object]:
        """Give what takes rendered frames; it never waits and never calls back but `paused`."""
        ...

    def unsent(self) -> int:
        """Count the bytes that were written and are still in this process."""
        ...

    def discard(self) -> None:
        """Forget what is unsent, as far as the transport can."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send the close frame behind what is unsent, and end in bounded time."""
        ...


class Receiver(Protocol):
    """The application's side: what the server calls, in the event loop, one call at a time."""

    def opened(self) -> None:
        """Begin: called once, ahead of everything else."""
        ...

    def received(self, frame: Frame) -> None:
        """Take one message."""
        ...

    def pinged(self, size: int) -> bool:
        """Tell whether a ping is too much, by its bytes: then it is not answered.

        Also called for a pong that nobody asked for, which is not answered anyway.
        """
        ...

    def paused(self) -> None:
        """Write no more for now, perhaps from within a write."""
        ...

    def writable(self) -> None:
        """Go on writing; never called from within a write."""
        ...

    def ending(self, code: int, reason: str) -> None:
        """Say the last words: the server is about to close with these, unless this does."""
        ...

    def closed(self, code: int) -> None:
        """End: called once, after everything else; 1006 if no close frame came."""
        ...


Detach = Callable[[Callable[[Socket], Receiver]], None]
"""Takes an accepted socket over: the receiver that is made gets all that comes from now on."""
