"""Counting is exact for any split of the bytes into chunks."""

import asyncio

import pytest
from typing_extensions import override
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode

from itemwire.bench.frames import NUMBER, PONG, Stationery, client_frame, mark_of
from itemwire.bench.histogram import LatencyHistogram
from itemwire.bench.listeners import Counter, Echoer, SamplingCounter
from itemwire.bench.target import PLAIN, Dialect
from itemwire.bench.window import Item, Window

MARK = mark_of(1)
MESSAGES = 20


class Written(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[bytes] = []

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data.append(bytes(data))


def frame(text: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
    """A frame as a server sends it."""
    return PeerFrame(opcode, text).serialize(mask=False)


def message(number: int, padding: int = 100) -> bytes:
    """A message of this window, in a frame."""
    return frame(MARK + NUMBER % number + b"x" * padding)


def listening(kind: type[Counter], dialect: Dialect = PLAIN) -> tuple[Counter, Item]:
    """A subscriber, alone on an item to which some messages were sent."""
    item = Item(Window(Stationery("{marker}", MARK, 128)), 1)
    for _ in range(MESSAGES):
        item.next_message(0)
    subscriber = kind(0, dialect)
    subscriber.transport = Written()
    subscriber.begin(item)
    return subscriber, item


def written(subscriber: Counter) -> list[bytes]:
    """What it said."""
    assert isinstance(subscriber.transport, Written)
    return subscriber.transport.data


KINDS = pytest.mark.parametrize("kind", [Counter, SamplingCounter])


@KINDS
@pytest.mark.parametrize("size", [1, 7, 64, 128, 129, 1000, 100_000])
@pytest.mark.parametrize("sizes", [(100,), (100, 101, 3), (200, 9)], ids=str)
def test_every_message_is_counted_once(
    kind: type[Counter], size: int, sizes: tuple[int, ...]
) -> None:
    """In chunks of one byte, of one frame, of all of them; whether frames are alike or not."""
    subscriber, item = listening(kind)
    data = b"".join(message(n, sizes[n % len(sizes)]) for n in range(MESSAGES))

    for start in range(0, len(data), size):
        subscriber.data_received(data[start : start + size])

    assert (subscriber.count, item.window.completed) == (MESSAGES, MESSAGES)
    assert item.window.disordered == 0


@KINDS
def test_what_is_no_message_of_the_window_is_not_counted(kind: type[Counter]) -> None:
    """Welcomes, replies, and what is late from another window."""
    subscriber, _ = listening(kind)

    subscriber.data_received(message(0) + frame(b'{"type":"reply"}') + message(1))
    subscriber.data_received(frame(mark_of(2) + NUMBER % 7))

    assert subscriber.count == 2


@KINDS
def test_a_ping_among_messages_is_answered(kind: type[Counter]) -> None:
    """A server lets go of a client that does not, in the middle of a long run."""
    subscriber, _ = listening(kind)
    subscriber.data_received(message(0))

    subscriber.data_received(message(1) + frame(b"there?", Opcode.PING) + message(2))

    assert written(subscriber) == [client_frame(PONG, b"there?")]
    assert subscriber.count == 3


@KINDS
def test_several_messages_in_one_frame_are_several(kind: type[Counter]) -> None:
    """Some servers put what waits into one frame."""
    subscriber, _ = listening(kind)
    both = MARK + NUMBER % 0 + b"," + MARK + NUMBER % 1

    subscriber.data_received(frame(both) + message(2))

    assert subscriber.count == 3


def test_a_ping_of_the_servers_own_protocol_is_answered() -> None:
    """Engine.IO has one in text frames."""
    subscriber, _ = listening(Counter, Dialect(replies={"2": "3"}))

    subscriber.data_received(frame(b"2"))

    assert written(subscriber) == [client_frame(1, b"3")]


def test_a_close_is_kept_and_told() -> None:
    """Anyone who waits for messages need not wait for the rest."""
    subscriber, _ = listening(Counter)
    told: list[str | None] = []
    subscriber.on_end = lambda: told.append(subscriber.ended)

    subscriber.data_received(frame(b"\x03\xf0slow_consumer", Opcode.CLOSE))
    subscriber.connection_lost(None)

    assert told == ["closed with 1008 slow_consumer"]


@pytest.mark.parametrize(
    ("numbers", "disordered"),
    [
        pytest.param([0, 1, 2, 3], 0, id="in order"),
        pytest.param([0, 2, 3], 1, id="one is missing"),
        pytest.param([0, 1, 1, 2], 1, id="one comes twice"),
        pytest.param([0, 2, 2, 3], 2, id="one instead of another"),
        pytest.param([0, 2, 1, 3], 3, id="two change places"),
    ],
)
def test_the_sample_sees_what_counts_do_not(numbers: list[int], disordered: int) -> None:
    """One message less and another twice leave the count as it should be."""
    subscriber, item = listening(SamplingCounter)

    subscriber.data_received(b"".join(map(message, numbers)))

    assert item.window.disordered == disordered


def test_latency_is_the_samples() -> None:
    """Counted from when each message was sent."""
    subscriber, item = listening(SamplingCounter)

    subscriber.data_received(b"".join(map(message, range(5))))

    assert item.window.latency.total == 5


def test_an_echo_sends_the_next_when_one_came_back() -> None:
    """Until it is told to end."""
    latency = LatencyHistogram()
    echoer = Echoer(0, PLAIN)
    echoer.transport = transport = Written()
    echoer.begin(Stationery("{marker}", MARK, 128), latency)

    echoer.data_received(message(0)[:50])
    before = len(transport.data)
    echoer.data_received(message(0)[50:])
    echoer.going = False
    echoer.data_received(message(0))

    assert (before, len(transport.data), echoer.count, latency.total) == (1, 2, 2, 2)
