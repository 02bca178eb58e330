"""A fake socket that notes every frame it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from typing_extensions import override

from itemwire.channels.connection import Connection
from itemwire.channels.delivery.outbox import Transport
from itemwire.messages import Frame
from itemwire.transports.asgi import FRAME_BY_FRAME, Frames


class Close(NamedTuple):
    """How a transport was told to end."""

    code: int
    reason: str


class RecordingTransport(Transport):
    """Notes every frame; with `room`, takes so many and then says that it has enough.

    A test that looks at it sees what was there at the end of the loop tick.
    """

    framing = FRAME_BY_FRAME

    def __init__(self, room: int | None = None, settle: Callable[[], None] | None = None) -> None:
        self._frames: list[Frame] = []
        self._closes: list[Close] = []
        self._settle = settle or (lambda: None)
        self.room = room
        self.chunks = 0
        self.discards = 0
        self.held = 0
        self.connection: Connection | None = None

    @override
    def write(self, chunk: Frames) -> None:
        self.chunks += 1
        self._frames.extend(chunk.frames)
        if self.room is not None:
            self.room = max(self.room - len(chunk.frames), 0)
            if self.room == 0 and self.connection is not None:
                self.connection.paused()

    @override
    def unsent(self) -> int:
        return self.held

    @override
    def discard(self) -> None:
        self.discards += 1

    @override
    def close(self, code: int, reason: str) -> None:
        self._closes.append(Close(code, reason))

    @property
    def frames(self) -> list[Frame]:
        """List the frames it has taken."""
        self._settle()
        return self._frames

    @property
    def closes(self) -> list[Close]:
        """List how it was told to end: once, or not yet."""
        self._settle()
        return self._closes

    @property
    def reasons(self) -> list[str]:
        """Tell why it was closed: one reason, or none yet."""
        return [close.reason for close in self.closes]
