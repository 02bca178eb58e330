"""Clients of a channel whose every wait has a limit: one synchronous, one for asyncio."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from itemwire.testing.refusals import Ended, Refusal, refusal_of
from itemwire.wire.envelopes import read_frame, write_frame

WAIT_SECONDS: Final = 20.0  # the default limit of every wait: of use only to a test that fails

Frame = str | bytes
Envelope = dict[str, Any]


class Conversation:
    """What both clients share: numbers for requests, and envelopes that came out of turn."""

    def __init__(self, subprotocol: str | None, *, unanswered: bool = False) -> None:
        self._refs = itertools.count(1)
        self._aside: deque[Envelope] = deque()
        self._last_received: deque[Frame] = deque(maxlen=5)
        self._unanswered = unanswered
        self._subprotocol = subprotocol

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose."""
        return self._subprotocol

    def _request(self, kind: str, fields: Mapping[str, object]) -> tuple[int, Frame]:
        """Return a new request as a frame, and the `ref` that its answer will have."""
        ref = next(self._refs)
        return ref, write_frame({"type": kind, "ref": ref, **fields}, self.subprotocol)

    def _found_aside(self, wanted: Mapping[str, object]) -> Envelope | None:
        """Remove and return the first envelope set aside that has these fields."""
        for envelope in self._aside:
            if _has(envelope, wanted):
                self._aside.remove(envelope)
                return envelope
        return None

    def _matched(self, frame: Frame, wanted: Mapping[str, object]) -> Envelope | None:
        """Parse an envelope: return it if it has these fields, else set it aside for later."""
        envelope: Envelope = read_frame(frame, self.subprotocol)
        if _has(envelope, wanted):
            return envelope
        self._aside.append(envelope)
        return None

    def _remember(self, frame: Frame) -> Frame:
        self._last_received.append(frame)
        return frame

    def _silence(self, seconds: float) -> TimeoutError:
        last = list(self._last_received)
        return TimeoutError(f"nothing came within {seconds:g} s; last received: {last}")

    def _ended(self, closed: ConnectionClosed) -> Ended:
        return Ended(refusal_of(closed, unanswered=self._unanswered))


class ChannelClient(Conversation):
    """A synchronous client on an accepted socket, made by `LiveServer.client`.

    Every method that waits accepts a `timeout` in seconds. It raises `TimeoutError` when that has
    passed, and `Ended` if the server ends the connection.
    """

    def __init__(self, connection: ClientConnection, *, unanswered: bool = False) -> None:
        super().__init__(connection.subprotocol, unanswered=unanswered)
        self.connection = connection

    def send(self, frame: Frame) -> None:
        """Send a frame unchanged."""
        try:
            self.connection.send(frame)
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    def receive(self, *, timeout: float = WAIT_SECONDS) -> Frame:
        """Return the next frame unchanged."""
        try:
            return self._remember(self.connection.recv(timeout=timeout))
        except TimeoutError:
            raise self._silence(timeout) from None
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    def envelope(self, *, timeout: float = WAIT_SECONDS) -> Envelope:
        """Return the next envelope; those that `expect` skipped come first."""
        return self._expect({}, timeout)

    def expect(self, kind: str, *, timeout: float = WAIT_SECONDS, **fields: object) -> Envelope:
        """Wait for an envelope of this type with these fields; others are set aside."""
        return self._expect({"type": kind, **fields}, timeout)

    def welcome(self, *, timeout: float = WAIT_SECONDS) -> Envelope:
        """Wait for the `welcome` envelope."""
        return self.expect("welcome", timeout=timeout)

    def message(self, *, timeout: float = WAIT_SECONDS, **fields: object) -> Envelope:
        """Wait for a message with these fields, such as `data`, `sender` or `offset`."""
        return self.expect("message", timeout=timeout, **fields)

    def ask(self, kind: str, *, timeout: float = WAIT_SECONDS, **fields: object) -> Envelope:
        """Send a request and return its answer, which may be an error envelope."""
        ref, frame = self._request(kind, fields)
        self.send(frame)
        return self._expect({"ref": ref}, timeout)

    def publish(self, data: object, *, timeout: float = WAIT_SECONDS, **fields: object) -> Envelope:
        """Publish, and return the answer, which may be an error envelope."""
        return self.ask("publish", timeout=timeout, data=data, **fields)

    def ending(self, *, timeout: float = WAIT_SECONDS) -> Refusal:
        """Read until the server ends the connection, and return how it ended."""
        until = time.monotonic() + timeout
        try:
            while True:
                self.receive(timeout=_left(until))
        except Ended as ended:
            return ended.refusal

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _expect(self, wanted: Mapping[str, object], timeout: float) -> Envelope:
        found = self._found_aside(wanted)
        until = time.monotonic() + timeout
        while found is None:
            found = self._matched(self.receive(timeout=_left(until)), wanted)
        return found


class AsyncChannelClient(Conversation):
    """The same client for asyncio; works with the anyio plugin, pytest-asyncio, or neither."""

    def __init__(self, connection: AsyncConnection, *, unanswered: bool = False) -> None:
        super().__init__(connection.subprotocol, unanswered=unanswered)
        self.connection = connection

    async def send(self, frame: Frame) -> None:
        """Send a frame unchanged."""
        try:
            await self.connection.send(frame)
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    async def receive(self, *, timeout: float = WAIT_SECONDS) -> Frame:  # noqa: ASYNC109
        """Return the next frame unchanged."""
        try:
            async with asyncio.timeout(timeout):
                return self._remember(await self.connection.recv())
        except TimeoutError:
            raise self._silence(timeout) from None
        except ConnectionClosed as closed:
            raise self._ended(closed) from closed

    async def envelope(self, *, timeout: float = WAIT_SECONDS) -> Envelope:  # noqa: ASYNC109
        """Return the next envelope; those that `expect` skipped come first."""
        return await self._expect({}, timeout)

    async def expect(
        self,
        kind: str,
        *,
        timeout: float = WAIT_SECONDS,  # noqa: ASYNC109
        **fields: object,
    ) -> Envelope:
        """Wait for an envelope of this type with these fields; others are set aside."""
        return await self._expect({"type": kind, **fields}, timeout)

    async def welcome(self, *, timeout: float = WAIT_SECONDS) -> Envelope:  # noqa: ASYNC109
        """Wait for the `welcome` envelope."""
        return await self.expect("welcome", timeout=timeout)

    async def message(
        self,
        *,
        timeout: float = WAIT_SECONDS,  # noqa: ASYNC109
        **fields: object,
    ) -> Envelope:
        """Wait for a message with these fields, such as `data`, `sender` or `offset`."""
        return await self.expect("message", timeout=timeout, **fields)

    async def ask(
        self,
        kind: str,
        *,
        timeout: float = WAIT_SECONDS,  # noqa: ASYNC109
        **fields: object,
    ) -> Envelope:
        """Send a request and return its answer, which may be an error envelope."""
        ref, frame = self._request(kind, fields)
        await self.send(frame)
        return await self._expect({"ref": ref}, timeout)

    async def publish(
        self,
        data: object,
        *,
        timeout: float = WAIT_SECONDS,  # noqa: ASYNC109
        **fields: object,
    ) -> Envelope:
        """Publish, and return the answer, which may be an error envelope."""
        return await self.ask("publish", timeout=timeout, data=data, **fields)

    async def ending(self, *, timeout: float = WAIT_SECONDS) -> Refusal:  # noqa: ASYNC109
        """Read until the server ends the connection, and return how it ended."""
        until = time.monotonic() + timeout
        try:
            while True:
                await self.receive(timeout=_left(until))
        except Ended as ended:
            return ended.refusal

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    async def _expect(self, wanted: Mapping[str, object], seconds: float) -> Envelope:
        found = self._found_aside(wanted)
        until = time.monotonic() + seconds
        while found is None:
            found = self._matched(await self.receive(timeout=_left(until)), wanted)
        return found


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())


def _has(envelope: Envelope, wanted: Mapping[str, object]) -> bool:
    return all(envelope.get(name) == value for name, value in wanted.items())
