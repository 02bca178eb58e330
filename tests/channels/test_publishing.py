"""What the rules of an item change for what is published to it, on a node without a server."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.notices import Notice
from itemwire.channels.limits.item_rules import ItemRules
from itemwire.channels.limits.slow_consumers import SlowConsumerPolicy
from itemwire.channels.publishing import MAX_EPHEMERAL_BYTES
from itemwire.engines.base import EngineError
from itemwire.engines.storage_format import pack
from itemwire.messages import NOT_STORED, Draft, Position
from tests.fakes import ITEM, Stage, principal

EPHEMERAL = ItemRules(history=0)


def stage_with(rules: ItemRules) -> Stage:
    """Start a node with rules for every item."""
    return Stage(rules_of=lambda _item: rules)


@pytest.mark.parametrize(
    ("rules", "reasons"),
    [
        (ItemRules(slow_consumers=SlowConsumerPolicy.DROP_OLDEST), []),
        (ItemRules(history=0, slow_consumers=SlowConsumerPolicy.DROP_NEWEST), []),
        (ItemRules(slow_consumers=SlowConsumerPolicy.DISCONNECT), ["slow_consumer"]),
        (ItemRules(), ["slow_consumer"]),
    ],
)
def test_a_rule_says_what_happens_to_slow_readers(rules: ItemRules, reasons: list[str]) -> None:
    """Where it says nothing, the settings do; here they disconnect."""
    stage = stage_with(rules)
    well, stuck = stage.join("well"), stage.join("stuck", room=1)
    stage.settle()
    text = "x" * (stage.node.limits.outbox_bytes // 3)

    for _ in range(8):
        well.says("publish", data=text)
        stage.settle()

    assert stuck.transport.reasons == reasons


def test_an_ephemeral_message_that_is_dropped_leaves_no_gap() -> None:
    """It has no offset, so a client can miss none."""
    stage = stage_with(ItemRules(history=0, slow_consumers=SlowConsumerPolicy.DROP_OLDEST))
    well, stuck = stage.join("well"), stage.join("stuck", room=1)
    stage.settle()
    text = "x" * (stage.node.limits.outbox_bytes // 3)
    for _ in range(8):
        well.says("publish", data=text)
        stage.settle()

    stuck.drains()

    assert stuck.saw("message")
    assert not stuck.saw("gap")


@pytest.mark.parametrize(
    ("size", "answer"), [(MAX_EPHEMERAL_BYTES, NOT_STORED), (MAX_EPHEMERAL_BYTES + 1, None)]
)
def test_an_ephemeral_message_fits_into_a_notice(size: int, answer: Position | None) -> None:
    """A larger one would reach this node's subscribers, and nobody else."""
    answers: list[Position | EngineError] = []

    stage_with(EPHEMERAL).node.publish(principal(), ITEM, "x" * size, None, answers.append)
    largest = Notice("n" * 12, message=pack(Draft(ITEM, "alice", 1.5, "x" * size))).encoded()

    assert answers == [answer] if answer else isinstance(answers[0], ValueError)
    assert len(largest) < 256 * 1024


def test_a_forged_notice_delivers_nothing() -> None:
    """The bus is not trusted: what cannot be read is logged and dropped."""
    stage = stage_with(EPHEMERAL)
    alice = stage.join("alice")
    stage.settle()

    stage.node._cluster.receive(Notice("other", message=b"\xc1").encoded())
    stage.settle()
    forged = len(alice.saw("message"))
    genuine = pack(Draft(ITEM, "bob", 1.5, "hello"))
    stage.node._cluster.receive(Notice("other", message=genuine).encoded())
    stage.settle()

    assert (forged, len(alice.saw("message"))) == (0, 1)
