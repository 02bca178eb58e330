"""What one client with a token may cost others (B1, B2, B3, B5, B6)."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

from typing_extensions import override

from itemwire.bench.frames import TEXT, client_frame
from tests.fastpath.served import head
from tests.scenarios.clients import TALKING, Envelope, token
from tests.siege.attack import Attack, Outcome
from tests.siege.door import SPEAKS_JSON, Door, Wire, credential, read_head

PATIENCE: Final = 2.0  # for an answer of a server that is not busy
MOST_SECONDS: Final = 10.0  # to publish what takes two
DELIVERY_RATE: Final = 500_000  # a second, by default
DELIVERIES_AT_ONCE: Final = 2  # seconds' worth
DELIVERY_BYTES: Final = 22  # of a text frame with 20
TOLD_BYTES: Final = 100  # of a frame that tells who joined, or left, or how many there are
LAST: Final = 1  # the ref of the last request of a burst
HOLD_SECONDS: Final = 2.0  # to see what is kept for a socket that reads nothing


class ReplayUnread(Attack):
    """Joins with a replay and leaves, again and again, and reads nothing at all.

    It does so with many items at a time: all joins are through before their items are left, and all
    leavings before they are joined again, for both in one burst would be another attack.
    """

    items: Final = 40
    payload: Final = "x" * 10_000
    messages: Final = 100  # what is kept of an item: about 1 MiB
    joins: Final = 320  # in a second: 320 MiB where nothing bounds it
    rate: Final = 200.0  # joins a second, as many as a socket may ask for

    @override
    def prepare(self, door: Door) -> None:
        for number in range(self.items):
            with door.socket(f"/items/{_replayed(number)}/ws", "publisher") as wire:
                message = {"type": "publish", "data": self.payload}
                wire.send(*(message | {"ref": ref} for ref in range(self.messages)))
                wire.answer_to(self.messages - 1)

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        asked, join, leave = 0, {"type": "join", "replay": self.messages}, {"type": "leave"}
        # Without the right to presence: what is told of members is counted, and would end it.
        opening = door.socket("/ws", scope=TALKING, receive_buffer=8192)
        with opening as wire, suppress(OSError):
            while asked < self.joins * seconds:
                wire.send(*(join | {"item": _replayed(number)} for number in range(self.items)))
                asked += self.items
                time.sleep(self.items / self.rate)  # what it may ask, and no more
                wire.send(*(leave | {"item": _replayed(number)} for number in range(self.items)))
            _until_ended(wire.client, time.monotonic() + HOLD_SECONDS)
        return Outcome(notes={"joins": asked})


def _replayed(number: int) -> str:
    return f"replayed:{number}"


def _until_ended(client: socket.socket, deadline: float) -> None:
    """Ask for the time until the server has ended the connection, still without reading."""
    ping = client_frame(TEXT, b'{"type":"ping"}')
    while time.monotonic() < deadline:
        client.sendall(ping)
        time.sleep(0.02)  # what is measured is how long the server keeps it


class JoinRaces(Attack):
    """Joins and leaves an item in one burst: the last word counts, and all are answered."""

    items: Final = 5

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        faults: set[str] = set()
        for bursts in (4, 5):
            with door.socket("/ws") as wire, door.socket("/ws", "publisher") as publisher:
                for number in range(self.items):
                    faults |= _race(wire, publisher, f"race:{bursts}:{number}", bursts)
                faults |= _still_works(wire)
        return Outcome(faults=sorted(faults))


def _race(wire: Wire, publisher: Wire, item: str, length: int) -> set[str]:
    """Join, leave, join … in one burst; return what is wrong afterwards."""
    kinds = [("leave" if ref % 2 else "join") for ref in range(length)]
    burst = [{"type": kind, "item": item, "ref": ref} for ref, kind in enumerate(kinds)]
    wire.send(*burst)
    answered = _answers(wire, set(range(length)))
    faults = set()
    if answered != set(range(length)):
        faults.add(f"{kinds[-1]} at the end of a burst of {length}: a request was not answered")
    should_hear, hears = kinds[-1] == "join", _hears(wire, publisher, item)
    if hears and not should_hear:
        faults.add("a client hears an item that it left")
    if should_hear and not hears:
        faults.add("a client does not hear an item that it joined")
    return faults


def _answers(wire: Wire, refs: set[int]) -> set[object]:
    """Read until all requests are answered, or no more comes."""
    found: set[object] = set()
    deadline = time.monotonic() + PATIENCE
    while not refs <= found and (envelope := wire.read(deadline - time.monotonic())):
        found.add(envelope.get("ref"))
    return found & refs


def _hears(wire: Wire, publisher: Wire, item: str) -> bool:
    """Publish to an item by another, and return whether a client hears it."""
    publisher.send({"type": "join", "item": item, "ref": 1})
    publisher.answer_to(1)
    publisher.send({"type": "publish", "item": item, "ref": 2, "data": "heard"})
    publisher.answer_to(2)
    publisher.send({"type": "leave", "item": item, "ref": 3})
    publisher.answer_to(3)
    wire.send({"type": "ping", "ref": 99})
    deadline, heard = time.monotonic() + PATIENCE, False
    while envelope := wire.read(deadline - time.monotonic()):
        if envelope["type"] == "pong" and envelope.get("ref") == 99:
            return heard
        heard |= envelope["type"] == "message" and envelope["item"] == item
    return heard


def _still_works(wire: Wire) -> set[str]:
    """Refresh, then join another item: both wait for a turn that must have come back."""
    wire.send({"type": "refresh", "token": token("attacker"), "ref": 1})
    refreshed = wire.answer_to(1, PATIENCE)
    wire.send({"type": "join", "item": "after", "ref": 2})
    joined = wire.answer_to(2, PATIENCE)
    faults = set()
    if refreshed is None:
        faults.add("a refresh was never answered")
    if joined is None or joined["type"] != "welcome":
        faults.add("nothing can be joined any more")
    return faults


class Amplified(Attack):
    """Publishes small messages to an item that a thousand hear, as fast as a socket may."""

    rate: Final = 2000
    least_seconds: float = 1.0  # 2 million deliveries: twice what may be spent at once
    burst_seconds: Final = 0.01
    speaks: tuple[str, ...] = ()  # headers of those who listen

    def __init__(self, listeners: int = 1000) -> None:
        self._count = listeners
        self._stack = ExitStack()
        self._crowd = selectors.DefaultSelector()
        self._is_over = threading.Event()
        self._reader = threading.Thread(target=self._read_all, daemon=True)
        self._received = 0

    @override
    def prepare(self, door: Door) -> None:
        """Open the crowd: who hears the item is no part of the attack."""
        asked = head("/items/loud/ws", *self.speaks, credential("listener"))
        for _ in range(self._count):
            client = self._stack.enter_context(door.dial(asked))
            read_head(client)
            client.setblocking(False)
            self._crowd.register(client, selectors.EVENT_READ)
        self._reader.start()

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        message = client_frame(TEXT, b'{"type":"publish","data":"%s"}' % (b"x" * 20))
        most = int(self.rate * (self.least_seconds + seconds))
        before, sent, limited = self._received, 0, 0
        began = time.monotonic()
        with door.socket("/items/loud/ws") as wire:
            while sent < most and time.monotonic() - began < MOST_SECONDS:
                elapsed = time.monotonic() - began + self.burst_seconds
                due = min(int(elapsed * self.rate), most) - sent
                wire.client.sendall(message * due)
                sent += due
                limited += _limited(wire, self.burst_seconds)
        received = self._received - before
        budget = DELIVERY_RATE * (DELIVERIES_AT_ONCE + time.monotonic() - began)
        # A server on a busy machine may deliver less than the budget, and then has none to refuse.
        is_over = not limited and received / DELIVERY_BYTES > budget
        faults = ["a publisher was not told that it delivers too much"] if is_over else []
        notes = {"messages": sent, "limited": limited, "MiB heard": received / 2**20}
        return Outcome(faults, notes=notes)

    @property
    def received(self) -> int:
        """Return the bytes that the crowd has heard."""
        return self._received

    @override
    def leave(self) -> None:
        self._is_over.set()
        if self._reader.is_alive():
            self._reader.join()
        self._stack.close()
        self._crowd.close()

    def _read_all(self) -> None:
        """Read what the crowd hears, and keep nothing."""
        buffer = bytearray(1 << 18)
        while not self._is_over.is_set():
            for key, _ in self._crowd.select(timeout=0.1):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                with suppress(BlockingIOError):
                    if not (size := client.recv_into(buffer)):
                        self._crowd.unregister(client)
                    self._received += size


class Churn(Amplified):
    """Joins an item that nearly a thousand watch, and leaves it, again and again."""

    sockets: Final = 16
    least_seconds = 3.0  # without a budget 1.6 million deliveries in each
    speaks = (SPEAKS_JSON,)

    def __init__(self, listeners: int = 950) -> None:
        super().__init__(listeners)  # with the sockets fewer than are listed

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        before, joins, began = self.received, 0, time.monotonic()
        with ExitStack() as stack:
            opened = (door.socket("/ws", scope=TALKING) for _ in range(self.sockets))
            wires = [stack.enter_context(one) for one in opened]
            while time.monotonic() - began < self.least_seconds + seconds:
                for ref, kind in enumerate(("join", "leave")):
                    for wire in wires:
                        wire.send({"type": kind, "item": "loud", "ref": ref})
                    for wire in wires:
                        wire.answer_to(ref, PATIENCE)
                joins += len(wires)
        took = time.monotonic() - began
        told = (self.received - before) / TOLD_BYTES
        once_a_second = (2 * self.sockets + 1) * self._count * (took + 1)
        is_over = told > DELIVERY_RATE * (DELIVERIES_AT_ONCE + took) + once_a_second
        faults = ["joins and leavings were told past the budget of deliveries"] if is_over else []
        notes = {"joins": joins, "MiB heard": (self.received - before) / 2**20}
        return Outcome(faults, notes=notes)


def _limited(wire: Wire, seconds: float) -> int:
    """Read for so long; return how many requests were past a rate."""
    deadline, count = time.monotonic() + seconds, 0
    while text := wire.read_text(deadline - time.monotonic()):
        count += b'"rate_limited"' in text
    wire.client.settimeout(PATIENCE)
    return count


class Bursts(Attack):
    """Joins and leaves items on many sockets in bursts, with pings between, as often as it may."""

    sockets: Final = 20
    joins: Final = 100
    pause: Final = 0.5  # after which a socket may join as many items again

    @override
    def run(self, door: Door, seconds: float) -> Outcome:
        deadline, bursts, answered = time.monotonic() + seconds, 0, 0
        with ExitStack() as stack:
            wires = [stack.enter_context(door.socket("/ws")) for _ in range(self.sockets)]
            while not bursts or time.monotonic() < deadline:
                for wire in wires:
                    wire.send(*self._burst())
                bursts += 1
                answered += sum(wire.answer_to(LAST) is not None for wire in wires)
                time.sleep(self.pause)
        expected = bursts * self.sockets
        faults = [] if answered == expected else [f"{expected - answered} bursts were not answered"]
        notes: dict[str, float] = {"bursts": bursts}
        return Outcome(faults, accepted=self.sockets, notes=notes)

    def _burst(self) -> Iterator[Envelope]:
        for number in range(self.joins):
            yield {"type": "join", "item": f"burst:{number}"}
            yield {"type": "ping"}
        for number in range(self.joins):
            yield {"type": "leave", "item": f"burst:{number}"}
        yield {"type": "ping", "ref": LAST}
