"""An application that detaches its sockets, and a receiver that records all calls."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from itemwire.fastpath.extension import EXTENSION, Receiver, Socket
from itemwire.messages import Frame
from tests.fastpath.served import Receive, Send, Site

Detach = Callable[[Callable[[Socket], Receiver]], None]
Application = Callable[[Detach, Receive, Send], Awaitable[None]]


@dataclass(slots=True)
class Noting(Receiver):
    """A receiver that notes what it is called with, and echoes."""

    socket: Socket
    calls: queue.Queue[tuple[str, object]] = field(default_factory=queue.Queue)
    pings: int = 0

    @override
    def opened(self) -> None:
        """Note it."""
        self.calls.put(("opened", None))

    @override
    def received(self, frame: Frame) -> None:
        """Note it, and do what it says."""
        self.calls.put(("received", frame))
        if frame == "fail":
            raise ZeroDivisionError("a fault of the receiver")
        if frame == "close":
            self.socket.close(4000, "as you wish")
        else:
            self.socket.write(self.socket.framing.render(frame))

    @override
    def pinged(self, size: int) -> bool:
        """Note it; the third is too much."""
        self.pings += 1
        self.calls.put(("pinged", size))
        return self.pings == 3

    @override
    def paused(self) -> None:
        """Note it."""
        self.calls.put(("paused", self.socket.unsent()))

    @override
    def writable(self) -> None:
        """Note it."""
        self.calls.put(("writable", None))

    @override
    def ending(self, code: int, reason: str) -> None:
        """Note it, and say something."""
        self.calls.put(("ending", (code, reason)))
        self.socket.write(self.socket.framing.render("last words"))

    @override
    def gone(self) -> None:
        """Note it."""
        self.calls.put(("gone", None))

    @override
    def closed(self, code: int) -> None:
        """Note it."""
        self.calls.put(("closed", code))

    def next(self) -> tuple[str, object]:
        """Give the next call, once it has come."""
        return self.calls.get(timeout=60)


class Handing:
    """An application that accepts, hands over, and does what a test wants of it besides."""

    def __init__(self) -> None:
        self.receivers: queue.Queue[Noting] = queue.Queue()
        self.errors: queue.Queue[BaseException | None] = queue.Queue()
        self.tasks_left: queue.Queue[int] = queue.Queue()
        self.hold = threading.Event()
        self.hold.set()
        self.extension: dict[str, Any] = {}
        self.script: Application = self.hand_over

    async def __call__(
        self, _site: Site, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Be the application."""
        self.extension = scope["extensions"][EXTENSION]
        try:
            await self.script(self.extension["detach"], receive, send)
        except BaseException as error:
            self.errors.put(error)
            raise
        self.errors.put(None)

    async def hand_over(self, detach: Detach, receive: Receive, send: Send) -> None:
        """Accept, hand over, return."""
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.to_thread(self.hold.wait, 5)
        detach(self.open)

    def open(self, socket: Socket) -> Noting:
        """Make a receiver."""
        receiver = Noting(socket)
        self.receivers.put(receiver)
        return receiver

    def receiver(self) -> Noting:
        """Give the receiver of the next socket, opened."""
        receiver = self.receivers.get(timeout=60)
        assert receiver.next() == ("opened", None)
        return receiver
