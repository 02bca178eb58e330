"""The bounds that rules give to channels, whenever they are declared."""

from __future__ import annotations

from itemwire.channels.limits.item_rules import ItemRules
from itemwire.engines.base import Bounds, History, Span
from itemwire.engines.memory import MemoryEngine
from itemwire.messages import Draft
from itemwire.rules.channels import ChannelRule, ChannelRules, RuledBounds
from tests.fakes.values import Clock


def test_an_engine_that_is_made_first_follows_rules_that_are_declared_later() -> None:
    """An application makes its `Itemwire`, and then declares its channels."""
    rules, clock, found = ChannelRules(), Clock(), list[object]()
    engine = MemoryEngine(RuledBounds(Bounds(100, 10_000, 300), rules), clock=clock)
    rules.add(ChannelRule.of("long:{id}", None, ItemRules(max_age=3600)))

    def publish(item: str) -> None:
        engine.publish(f"item:{item}", Draft(item, None, 0, item), lambda _: None)

    def note(history: object) -> None:
        assert isinstance(history, History)
        found.extend(one.data for one in history.publications)

    publish("long:1")
    clock.now += 1000
    publish("other")  # which forgets what nobody can miss
    engine.read("item:long:1", Span(5), note)

    assert found == ["long:1"]
