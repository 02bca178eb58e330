"""A server in memory that does what a test says, and the stage for a test with one."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from typing_extensions import override

from itemwire.client import AsyncClient, AsyncItem, Gap, ReceivedMessage
from itemwire.client.sockets import ClientSocket, SocketClosed, SocketRequest
from tests.client.manual_clock import UNIX, ManualClock, settle

Envelope = dict[str, Any]

T = TypeVar("T")


class ScriptedSocket(ClientSocket):
    """The client's end of a connection; the rest of its methods are the server's."""

    def __init__(self, server: ScriptedServer, request: SocketRequest) -> None:
        self.request = request
        self.sent: list[Envelope] = []
        self.is_closed = False
        self.is_aborted = False
        self._server = server
        self._incoming: asyncio.Queue[str | bytes | SocketClosed] = asyncio.Queue()

    @property
    @override
    def subprotocol(self) -> str | None:
        return "itemwire.v1.json"

    @override
    async def receive(self) -> str | bytes:
        found = await self._incoming.get()
        if isinstance(found, SocketClosed):
            self._incoming.put_nowait(found)
            raise found
        return found

    @override
    async def send(self, frame: str | bytes) -> None:
        envelope = json.loads(frame)
        self.sent.append(envelope)
        if not self._server.is_silent:
            self._server.answer(self, envelope)

    @override
    async def close(self) -> None:
        self.is_closed = True

    @override
    def abort(self) -> None:
        self.is_aborted = True

    def say(self, kind: str, **fields: object) -> None:
        """Send an envelope to the client."""
        self._incoming.put_nowait(json.dumps({"type": kind, **fields}))

    def say_raw(self, frame: str | bytes) -> None:
        """Send a frame as it is."""
        self._incoming.put_nowait(frame)

    def drop(self, code: int = 1006, reason: str = "") -> None:
        """End the connection."""
        self._incoming.put_nowait(SocketClosed(code, reason))

    def of_type(self, kind: str) -> list[Envelope]:
        """What the client has sent of one type."""
        return [one for one in self.sent if one["type"] == kind]


class Channel:
    """What the server stores of one item."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self.offset = 0
        self.messages: list[Envelope] = []
        self.keys: dict[str, int] = {}


class ScriptedServer:
    """Serves items in memory; types in `held` are left without an answer."""

    def __init__(self, *, hints: bool = True) -> None:
        self.hints = hints
        self.held: set[str] = set()
        self.is_silent = False
        self.max_bytes = 65536
        self.outcomes: deque[object] = deque()
        self.sockets: list[ScriptedSocket] = []
        self.requests: list[SocketRequest] = []
        self.channels: dict[str, Channel] = {}
        self.expires_at: float | None = UNIX + 3600
        self.refused: dict[str, Envelope] = {}
        self.now: Callable[[], float] = lambda: UNIX

    async def connect(self, request: SocketRequest) -> ScriptedSocket:
        """Open a socket, or do what the next outcome says: an exception, or a close."""
        self.requests.append(request)
        outcome = self.outcomes.popleft() if self.outcomes else None
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
        if isinstance(outcome, Exception) and not isinstance(outcome, SocketClosed):
            raise outcome
        socket = ScriptedSocket(self, request)
        self.sockets.append(socket)
        if isinstance(outcome, SocketClosed):
            socket.drop(outcome.code, outcome.reason)
        elif self.hints:
            self.say_hello(socket)
        return socket

    @property
    def socket(self) -> ScriptedSocket:
        """The newest connection."""
        return self.sockets[-1]

    @property
    def tokens(self) -> list[str | None]:
        """The token of each handshake."""
        return [
            one.headers.get("Authorization", "").removeprefix("Bearer ") for one in self.requests
        ]

    def channel(self, item_id: str) -> Channel:
        """Return what is stored of an item."""
        return self.channels.setdefault(item_id, Channel())

    def say_hello(self, socket: ScriptedSocket) -> None:
        """Greet, as servers do that were asked for hints."""
        socket.say(
            "hello",
            connection="c1",
            subject="ann",
            expires_at=self.expires_at,
            server_time=self.now(),
            ping_interval=20.0,
            max_message_bytes=self.max_bytes,
            max_items=100,
        )

    def publish(self, item_id: str, data: object, **fields: object) -> Envelope:
        """Store a message, and deliver it over the newest connection."""
        channel = self.channel(item_id)
        channel.offset += 1
        message = {"item": item_id, "offset": channel.offset, "sender": "bob", "sent_at": UNIX}
        message |= {"data": data} | fields
        channel.messages.append(message)
        self.socket.say("message", **message)
        return message

    def answer(self, socket: ScriptedSocket, envelope: Envelope) -> None:
        """Do what a request says, unless its type is held."""
        if envelope["type"] in self.held:
            return
        answer = getattr(self, f"_{envelope['type']}", None)
        if answer is not None:
            answer(socket, envelope)

    def welcome(self, socket: ScriptedSocket, entry: Envelope, ref: int, **fields: object) -> None:
        """Let a client onto an item, and send what it missed."""
        channel = self.channel(entry["item"])
        epoch, offset = _position(entry.get("since"))
        missed = [one for one in channel.messages if one["offset"] > offset]
        recovered = epoch == channel.epoch and offset + len(missed) == channel.offset
        welcome: Envelope = {
            "ref": ref,
            "item": entry["item"],
            "connection": "c1",
            "subject": "ann",
            "can": ["subscribe", "publish"],
            "epoch": channel.epoch,
            "offset": channel.offset,
            "was_recovering": "since" in entry,
            "recovered": recovered,
            "resume": f"{channel.epoch}.1.proof",
        }
        socket.say("welcome", **(welcome | fields))
        replay = channel.messages[-entry["replay"] :] if "replay" in entry else []
        for message in missed if recovered else replay:
            socket.say("message", **message)

    def _ping(self, socket: ScriptedSocket, envelope: Envelope) -> None:
        socket.say("pong", ref=envelope["ref"])

    def _join(self, socket: ScriptedSocket, envelope: Envelope) -> None:
        for entry in envelope.get("items", [envelope]):
            if entry["item"] in self.refused:
                error = self.refused[entry["item"]]
                socket.say("error", ref=envelope["ref"], item=entry["item"], **error)
            else:
                self.welcome(socket, entry, envelope["ref"])

    def _leave(self, socket: ScriptedSocket, envelope: Envelope) -> None:
        socket.say("reply", ref=envelope["ref"])

    def _publish(self, socket: ScriptedSocket, envelope: Envelope) -> None:
        channel = self.channel(envelope["item"])
        offset = channel.keys.get(envelope["key"])
        if offset is None:
            self.publish(envelope["item"], envelope["data"])
            offset = channel.keys[envelope["key"]] = channel.offset
        socket.say("reply", ref=envelope["ref"], epoch=channel.epoch, offset=offset)

    def _refresh(self, socket: ScriptedSocket, envelope: Envelope) -> None:
        ends = {"expires_at": UNIX + 7200, "server_time": self.now()}
        socket.say("reply", ref=envelope["ref"], items={}, **ends)


def _position(since: str | None) -> tuple[str, int]:
    epoch, _, offset = (since or ":0").rpartition(":")
    return epoch.partition(".")[0], int(offset)


def data_of(value: ReceivedMessage[T] | Gap) -> T:
    """Return the data of what must be a message, and no gap."""
    assert isinstance(value, ReceivedMessage)
    return value.data


async def read_all(item: AsyncItem[Any]) -> list[object]:
    """Read what waits: data of messages, and gaps as pairs."""
    found: list[object] = []
    await settle()
    while True:
        reading = asyncio.ensure_future(anext(item))
        await settle()
        if not reading.done():
            reading.cancel()
            return found
        value = reading.result()
        found.append((value.from_, value.to) if isinstance(value, Gap) else value.data)


class Stage:
    """A scripted server, a clock, and clients between them."""

    def __init__(self) -> None:
        self.server = ScriptedServer()
        self.clock = ManualClock()
        self.server.now = lambda: self.clock.unix() - self.clock.wrong_by
        self.luck = 0.5
        self.states: list[str] = []
        self.errors: list[Exception] = []
        self._clients: list[AsyncClient] = []
        self._state_seen = asyncio.Event()

    async def reached(self, state: str) -> None:
        """Wait until a client has come to a state, where a thread takes part."""
        while state not in self.states:
            self._state_seen.clear()
            await self._state_seen.wait()

    def client(self, **options: Any) -> AsyncClient:  # noqa: ANN401 - of many types
        """Make a client that is not connected yet."""
        client = AsyncClient(
            "wss://wire.example.com",
            clock=self.clock,
            connect=self.server.connect,
            random=lambda low, high: low + self.luck * (high - low),
            **({"backoff": (2.0, 30.0)} | options),
        )
        client.on("state", self._note_state)
        client.on("error", self.errors.append)
        self._clients.append(client)
        return client

    async def connected(self, **options: Any) -> AsyncClient:  # noqa: ANN401 - of many types
        """Make a client and let it connect."""
        client = self.client(**options)
        client.connect()
        await settle()
        return client

    def _note_state(self, state: str) -> None:
        self.states.append(state)
        self._state_seen.set()

    async def break_off(self) -> None:
        """Break the connection; the client waits before the next one."""
        self.server.socket.drop()
        await settle()

    async def end(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.close()


def scripted(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test with a `Stage` on an event loop, and let it leave nothing behind.

    A task that still runs afterwards, and an exception that nobody looked at, fail the test.
    """

    @functools.wraps(test)
    def run(**arguments: object) -> None:
        async def main() -> None:
            faults: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
            stage = Stage()
            async with asyncio.timeout(30):
                await test(stage, **arguments)
                await stage.end()
                await settle()
            running = asyncio.all_tasks() - {asyncio.current_task()}
            assert (running, faults) == (set(), [])

        asyncio.run(main())

    shown = inspect.signature(test)  # pytest would take `stage` for a fixture
    rest = [one for name, one in shown.parameters.items() if name != "stage"]
    vars(run)["__signature__"] = shown.replace(parameters=rest)
    return run
