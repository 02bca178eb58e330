"""Publishing from other threads and loops, and schedulers that fail: the hub goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from typing_extensions import override

from itemwire.channels.delivery.outbox import Chunk, Framing
from itemwire.channels.environment import Environment
from itemwire.channels.node import Node
from itemwire.channels.sessions.item import ItemSession
from itemwire.channels.timers import LoopTimers
from itemwire.engines.base import EngineError
from itemwire.engines.memory import MemoryEngine
from itemwire.messages import Frame, Position, Publication
from itemwire.transports.asgi import Frames
from itemwire_auth.principal import Grant
from tests.fakes import (
    BOUNDS,
    CHANNEL,
    EVERYTHING,
    ITEM,
    LIMITS,
    PLAIN,
    Clock,
    ManualTimers,
    RecordingTransport,
    Stage,
    draft,
    principal,
)

SECONDS = 10  # longer than any step takes; only a test that fails waits for it


class QueueTransport(RecordingTransport):
    """Puts every frame into a queue, and notes the thread that it was written on."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: asyncio.Queue[object] = asyncio.Queue()
        self.threads: set[int] = set()

    @override
    def write(self, chunk: Frames) -> None:
        self.threads.add(threading.get_ident())
        for frame in chunk.frames:
            self.queue.put_nowait(frame)


class Listening:
    """A running node on the memory engine, and a listener that never sends anything."""

    def __init__(self) -> None:
        self.engine = MemoryEngine(BOUNDS)
        self.node = Node(self.engine, LIMITS, environment=Environment(Clock()))
        self.transport = QueueTransport()
        self.answers: list[tuple[int, Position | EngineError]] = []

    async def start(self) -> None:
        """Start the node, and let the listener join."""
        await self.node.start()
        connection = self.node.connect(principal(), PLAIN, self.transport)
        ItemSession(self.node, connection, Grant(principal(), ITEM, EVERYTHING)).opened()

    def publish(self, data: str) -> None:
        """Publish, on whatever thread this is called."""
        self.node.publish(
            principal(),
            ITEM,
            data,
            None,
            lambda answer: self.answers.append((threading.get_ident(), answer)),
        )

    async def hears(self) -> object:
        """Return the next message that the listener gets."""
        return await asyncio.wait_for(self.transport.queue.get(), SECONDS)


def in_a_thread(call: Callable[[], None]) -> None:
    """Make a call on a thread that has no event loop."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive()


def in_another_loop(call: Callable[[], None]) -> None:
    """Make a call on a thread whose event loop is not the node's."""

    async def run() -> None:
        call()

    in_a_thread(lambda: asyncio.run(run()))


@pytest.mark.parametrize("foreign", [in_a_thread, in_another_loop])
def test_publishes_from_elsewhere_on_the_thread_of_the_node(
    foreign: Callable[[Callable[[], None]], None],
) -> None:
    """A publish of a worker thread silenced all passive listeners of all items, for good."""

    async def scene() -> list[object]:
        listening = Listening()
        await listening.start()
        foreign(lambda: listening.publish("from elsewhere"))
        first = await listening.hears()
        listening.publish("from here")
        second = await listening.hears()
        await listening.node.stop()

        assert listening.transport.threads == {threading.get_ident()}
        assert [thread for thread, _ in listening.answers] == [threading.get_ident()] * 2
        assert [
            answer.offset for _, answer in listening.answers if isinstance(answer, Position)
        ] == [1, 2]
        return [first, second]

    assert asyncio.run(scene()) == ["from elsewhere", "from here"]


def test_delivers_what_an_engine_brings_on_another_thread() -> None:
    """An engine's client may have threads of its own; a listener's socket has one."""

    async def scene() -> list[object]:
        listening = Listening()
        await listening.start()
        deliver = listening.engine._deliver
        in_a_thread(lambda: deliver(CHANNEL, Publication.of(draft("by a thread"), 1)))
        first = await listening.hears()
        deliver(CHANNEL, Publication.of(draft("by the loop"), 2))
        second = await listening.hears()

        assert listening.transport.threads == {threading.get_ident()}
        return [first, second]

    assert asyncio.run(scene()) == ["by a thread", "by the loop"]


def test_refuses_a_publish_from_elsewhere_once_the_loop_is_closed() -> None:
    """The caller is told, for nobody is left who could answer."""
    listening = Listening()
    asyncio.run(listening.start())
    problems: list[str] = []

    def publish() -> None:
        with pytest.raises(RuntimeError) as raised:
            listening.publish("too late")
        problems.append(str(raised.value))

    in_a_thread(publish)

    assert problems == ["Event loop is closed"]
    assert listening.answers == []


def test_says_that_the_node_is_not_started() -> None:
    """An application that forgets to has to find out from the first error it sees."""
    timers = LoopTimers()

    with pytest.raises(RuntimeError, match="the node is not started"):
        timers.hand_over(lambda: None)


def test_serves_again_on_another_loop() -> None:
    """A node that is stopped and started again must not wait for a loop that is gone."""
    listening = Listening()

    async def cut_off() -> None:
        await listening.start()
        listening.publish("never flushed")
        asyncio.get_running_loop().stop()

    async def scene() -> object:
        await listening.node.start()
        listening.publish("after the restart")
        return [await listening.hears(), await listening.hears()]

    loop = asyncio.new_event_loop()
    task = loop.create_task(cut_off())
    loop.run_forever()
    assert task.done()
    loop.close()

    heard = asyncio.run(scene())

    assert heard == ["never flushed", "after the restart"]


class FailingTimers(ManualTimers):
    """A scheduler that raises as often as it is told to."""

    failures = 0

    @override
    def call_soon(self, callback: Callable[[], None]) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no running event loop")
        super().call_soon(callback)


@pytest.mark.parametrize("failures", [1, 3])
def test_goes_on_after_a_scheduler_that_raised(failures: int) -> None:
    """Nothing that was sent is lost: the next fan-out asks for the flush again."""
    timers = FailingTimers(Clock())
    stage = Stage(timers=timers)
    listening, other = stage.join("listening"), stage.join("other", item="43")
    stage.settle()
    timers.failures = failures
    for number in range(failures):
        with pytest.raises(RuntimeError):
            stage.engine.publish(CHANNEL, draft(f"raised {number}"), lambda _: None)
    stage.node.publish(principal(), "43", "later", None, lambda _: None)

    expected = [f"raised {number}" for number in range(failures)]
    assert [one["data"] for one in listening.saw("message")] == expected
    assert [one["data"] for one in other.saw("message")] == ["later"]


class BrokenFraming(Framing):
    """A framing that cannot join, which no framing should be."""

    @override
    def render(self, frame: Frame) -> Chunk:
        raise NotImplementedError

    @override
    def join(self, chunks: Sequence[Chunk]) -> Chunk:
        raise ZeroDivisionError("a fault of a framing")


def test_goes_on_after_a_lane_that_raised(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in one channel's bytes must silence neither it nor the channels after it."""
    first, second = stage.join(item="1"), stage.join(item="2")
    stage.settle()
    for item in ("1", "1", "2", "2"):  # one alone is not joined
        stage.node.publish(principal(), item, "amid the fault", None, lambda _: None)
    lane = first.session.subscription.lane
    assert lane is not None
    with monkeypatch.context() as broken:
        broken.setattr(lane, "framing", BrokenFraming())
        with pytest.raises(ZeroDivisionError):
            stage.settle()

    for item in ("2", "1"):
        stage.node.publish(principal(), item, "next", None, lambda _: None)

    assert [one["data"] for one in first.saw("message")] == ["next"]
    assert [one["data"] for one in second.saw("message")] == [
        *["amid the fault"] * 2,
        "next",
    ]
