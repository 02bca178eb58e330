"""How code hears an item beside sockets."""

from __future__ import annotations

from itemwire.engines.base import EngineError
from itemwire.messages import Gap, Position, Publication
from tests.fakes import CHANNEL, ITEM, LateEngine, Stage


class Heard:
    """What a listener has heard, and what its beginning was answered."""

    def __init__(self, stage: Stage) -> None:
        self.events: list[Publication | Gap] = []
        self.answers: list[Position | EngineError] = []
        self.stage = stage
        stage.node.listening.begin(ITEM, self.hear, self.answers.append)

    def hear(self, event: Publication | Gap) -> None:
        """Take an event."""
        self.events.append(event)

    def end(self) -> None:
        """Hear no more."""
        self.stage.node.listening.end(ITEM, self.hear)

    @property
    def data(self) -> list[object]:
        """Give the data of what was heard."""
        return [one.data for one in self.events if isinstance(one, Publication)]


def publish(stage: Stage, data: str) -> None:
    """Publish as the application's code does."""
    stage.node.publishing.from_code(ITEM, data, lambda _: None)


def test_each_listener_hears_until_it_ends() -> None:
    """They do not meet."""
    stage = Stage()
    first, second = Heard(stage), Heard(stage)
    publish(stage, "both")
    first.end()
    publish(stage, "second")
    second.end()
    publish(stage, "nobody")

    assert (first.data, second.data) == (["both"], ["both", "second"])
    assert stage.node.channels == 0


def test_counts_as_no_subscriber() -> None:
    """It is no socket: no limit, no presence and no price of a publish counts it."""
    stage = Stage()
    Heard(stage)
    alice = stage.join("alice")

    assert alice.saw("welcome")[0]["member_count"] == 1
    assert stage.node.listening.subscribers() == {ITEM: 1}


def test_goes_on_when_the_last_socket_leaves() -> None:
    """The engine is left when nobody hears the channel any more."""
    stage = Stage(LateEngine())
    engine = stage.engine
    assert isinstance(engine, LateEngine)
    heard = Heard(stage)
    alice = stage.join("alice")
    engine.settle()
    alice.connection.lost()
    publish(stage, "later")
    engine.settle()
    left = [CHANNEL in engine.heard]
    heard.end()

    assert heard.data == ["later"]
    assert [*left, CHANNEL in engine.heard] == [True, False]


def test_a_loss_begins_behind_what_was_heard() -> None:
    """Also if nothing was heard yet: the beginning has a position."""
    engine = LateEngine()
    stage = Stage(engine)
    publish(stage, "before")
    heard = Heard(stage)
    engine.settle()
    (begun,) = heard.answers
    assert isinstance(begun, Position)
    engine.lose(CHANNEL, Position(begun.epoch, 5))

    assert heard.events == [Gap(ITEM, begun.epoch, 2, 5)]


def test_says_that_the_engine_failed() -> None:
    """At each step; what was begun is ended by whoever began it."""
    for broken in ("subscribe", "read"):
        engine = LateEngine()
        stage = Stage(engine)
        engine.broken.add(broken)
        heard = Heard(stage)
        engine.settle()
        heard.end()

        assert [str(one) for one in heard.answers] == [f"{broken} is broken"]
        assert stage.node.channels == 0
