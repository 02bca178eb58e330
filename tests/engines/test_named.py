"""A part of an engine by a name: every promise of an engine, and nothing of other names."""

from typing_extensions import override

from itemwire.engines.base import ChannelBounds, Engine, Sink
from itemwire.engines.memory import MemoryEngine
from itemwire.engines.named import NamedBounds, NamedEngine, prefix_of
from itemwire.messages import Position
from tests.conformance.engine_contract import EngineContract
from tests.conformance.telling_contract import TellingContract
from tests.conformance.value_contract import ValueContract
from tests.fakes import CHANNEL, complete, draft
from tests.fakes.values import BOUNDS

PREFIX = prefix_of("shop")


class Named:
    """A part of an engine in memory."""

    def open_engine(self, bounds: ChannelBounds) -> Engine:
        """Make the engine under test."""
        return NamedEngine(MemoryEngine(NamedBounds(bounds, PREFIX)), PREFIX)


class TestKeepsThePromisesOfItsEngine(Named, EngineContract):
    """Whatever an engine promises holds through it: clients never meet another."""


class TestKeepsThoseOfTelling(Named, TellingContract):
    """As above."""


class TestKeepsThoseOfValues(Named, ValueContract):
    """As above."""


def test_notices_of_others_are_left_out() -> None:
    """Those of another name, and those of the one without a name, which may come from a node."""
    inner, notices = MemoryEngine(BOUNDS), list[bytes]()
    complete(NamedEngine(inner, PREFIX).start(Sink(apply=notices.append)))

    for notice in (b"other/revoked", b"revoked", b"shop/revoked"):
        inner.post(notice, 0, lambda _answer: None)

    assert notices == [b"revoked"]


def test_keys_and_channels_are_its_own() -> None:
    """The engine itself, without the name, has none of them."""
    inner, answers = MemoryEngine(BOUNDS), list[object]()
    engine = NamedEngine(inner, PREFIX)
    complete(engine.start(Sink()))

    engine.put("ticket", b"value", 30, answers.append)
    inner.take("ticket", answers.append)
    engine.take("ticket", answers.append)
    engine.publish(CHANNEL, draft(), answers.append)
    inner.publish(CHANNEL, draft(), answers.append)

    assert answers[:3] == [None, None, b"value"]
    assert [one.offset for one in answers[3:] if isinstance(one, Position)] == [1, 1]


def test_a_loss_is_told_by_the_name_of_the_channel() -> None:
    """Its subscribers know nothing of a prefix."""
    lost: list[str] = []
    sinks: list[Sink] = []

    class Losing(MemoryEngine):
        @override
        async def start(self, sink: Sink) -> None:
            sinks.append(sink)

    engine = NamedEngine(Losing(BOUNDS), PREFIX)
    complete(engine.start(Sink(lose=lambda channel, _position: lost.append(channel))))
    sinks[0].lose(PREFIX + CHANNEL, Position("e", 1))

    assert lost == [CHANNEL]


def test_what_one_name_signs_is_not_valid_under_another() -> None:
    """A proof of having been there is about a channel, which another name may have as well."""
    inner, secrets = MemoryEngine(BOUNDS), list[object]()
    for engine in (inner, NamedEngine(inner, "one/"), NamedEngine(inner, "two/")):
        engine.secret(secrets.append)

    assert len(set(secrets)) == 3
    assert all(isinstance(one, bytes) and len(one) == 32 for one in secrets)
