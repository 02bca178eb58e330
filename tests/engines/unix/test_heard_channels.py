"""Channels that the engine process subscribes to once, for all of its nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from typing_extensions import override

from itemwire.engines.base import Answer, EngineError, History, Span
from itemwire.engines.memory import MemoryEngine
from itemwire.engines.unix.heard_channels import HeardChannels
from itemwire.engines.unix.served_node import ServedNode
from itemwire.messages import Position
from tests.conformance.asked_engine import BOUNDS
from tests.engines.watched import play
from tests.fakes import CHANNEL, draft

ONE, OTHER = (cast("ServedNode", object()) for _ in range(2))


class Distant(MemoryEngine):
    """An engine that answers a subscription when the test says so, as one on a server does."""

    answers_at_once = False

    def __init__(self) -> None:
        super().__init__(BOUNDS)
        self.asked: list[Answer[None]] = []
        self.left: list[str] = []
        self.reads = 0
        self.is_there = True

    @property
    @override
    def is_available(self) -> bool:
        return self.is_there

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        self.asked.append(answer)

    @override
    def unsubscribe(self, channel: str) -> None:
        self.left.append(channel)

    @override
    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        self.reads += 1
        super().read(channel, span, answer)


class Scene:
    """Channels on an engine, what was read of them and what was refused."""

    def __init__(self) -> None:
        self.engine = Distant()
        self.refused: list[tuple[str, str]] = []
        self.read: list[History | EngineError] = []
        self.channels = HeardChannels(
            self.engine, lambda channel, problem: self.refused.append((channel, str(problem)))
        )

    def ask(self, node: ServedNode, span: Span = Span(0)) -> None:  # noqa: B008 - frozen
        """Read for a node."""
        self.channels.read(node, CHANNEL, span, self.read.append)

    def answer(self, result: EngineError | None = None) -> None:
        """Answer the subscription that was asked for first."""
        self.engine.asked.pop(0)(result)


def on_a_scene(do: Callable[[Scene], None]) -> None:
    """Play on new channels."""

    async def scene() -> None:
        await asyncio.sleep(0)
        do(Scene())

    play(scene)


def test_is_subscribed_to_once_and_left_with_the_last_node() -> None:
    """However many hear it: that is what the process is for."""

    def scene(at: Scene) -> None:
        at.channels.join(ONE, CHANNEL)
        at.channels.join(OTHER, CHANNEL)
        assert len(at.engine.asked) == 1
        at.answer()
        at.channels.join(OTHER, CHANNEL)
        assert at.engine.asked == []
        at.channels.leave(ONE, CHANNEL)
        assert at.engine.left == []
        at.channels.leave(OTHER, CHANNEL)

        assert at.engine.left == [CHANNEL]
        assert len(at.channels) == 0

    on_a_scene(scene)


def test_what_a_node_hears_is_read_once_it_is_heard() -> None:
    """A message between the read and the subscription would be missed."""

    def scene(at: Scene) -> None:
        at.channels.join(ONE, CHANNEL)
        at.ask(ONE)
        assert (at.read, at.engine.reads) == ([], 0)
        at.ask(OTHER)  # who does not hear it waits for nothing
        assert (len(at.read), at.engine.reads) == (1, 1)
        at.answer()

        assert (len(at.read), at.engine.reads) == (2, 2)

    on_a_scene(scene)


def test_a_channel_that_cannot_be_heard_is_refused_and_tried_anew_with_the_next_read() -> None:
    """Nobody waits for an engine that is away; when it is back, all goes on."""

    def scene(at: Scene) -> None:
        at.channels.join(ONE, CHANNEL)
        at.ask(ONE)
        at.answer(EngineError("away"))
        assert [str(one) for one in at.read] == ["away"]
        assert at.refused == [(CHANNEL, "away")]
        assert at.engine.asked == []
        at.ask(ONE)
        at.ask(ONE)
        assert len(at.engine.asked) == 1
        at.answer()

        assert [type(one) for one in at.read] == [EngineError, History, History]

    on_a_scene(scene)


def test_a_channel_that_was_left_meanwhile_is_refused_to_nobody() -> None:
    """The node that comes back is another beginning."""

    def scene(at: Scene) -> None:
        at.channels.join(ONE, CHANNEL)
        at.ask(ONE)
        at.channels.leave(ONE, CHANNEL)
        at.channels.join(ONE, CHANNEL)
        at.answer(EngineError("the channel was left meanwhile"))
        assert at.refused == []
        at.ask(ONE)
        assert len(at.read) == 1
        at.answer()

        assert [type(one) for one in at.read] == [EngineError, History]

    on_a_scene(scene)


def test_where_a_node_begins_is_asked_of_the_engine_once_for_all_nodes() -> None:
    """The process knows by then; but it does not answer for an engine that is away."""

    def scene(at: Scene) -> None:
        at.engine.publish_now(CHANNEL, draft())
        at.channels.join(ONE, CHANNEL)
        at.answer()
        heard = at.channels.find(CHANNEL)
        assert heard is not None
        assert heard.position is None
        at.ask(ONE)
        assert heard.position is not None
        heard.offset = 7  # six more were delivered
        at.channels.join(OTHER, CHANNEL)
        at.ask(OTHER)
        at.ask(OTHER)  # where it stands by now: as late as the engine knows
        at.channels.leave(OTHER, CHANNEL)
        at.channels.join(OTHER, CHANNEL)
        at.engine.is_there = False
        at.ask(OTHER)

        positions = [one.position for one in at.read if isinstance(one, History)]
        epoch = heard.epoch
        assert positions == [Position(epoch, offset) for offset in (1, 7, 1, 1)]
        assert at.engine.reads == 3

    on_a_scene(scene)


def test_a_loss_says_more_than_a_read_that_was_asked_before_it() -> None:
    """The store has begun a new epoch meanwhile."""

    def scene(at: Scene) -> None:
        at.channels.join(ONE, CHANNEL)
        at.answer()
        heard = at.channels.find(CHANNEL)
        assert heard is not None
        heard.epoch, heard.offset = "new", 3
        heard.begin_at(Position("old", 9))

        assert heard.position == Position("new", 3)

    on_a_scene(scene)


def test_a_message_says_more_than_a_read_that_was_answered_after_it() -> None:
    """It was stored while the answer was on its way; who comes next begins after it."""

    def scene(at: Scene) -> None:
        at.channels.join(ONE, CHANNEL)
        at.answer()
        heard = at.channels.find(CHANNEL)
        assert heard is not None
        heard.offset = 5  # was delivered; of which epoch, the first read says
        heard.begin_at(Position("e", 4))

        assert heard.position == Position("e", 5)

    on_a_scene(scene)
