"""What nodes ask each other for operators: who answers, who is missing, what is dropped."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from itemwire.channels.cluster import questions as module
from itemwire.channels.cluster.gossip import Gossip, NodeStopping
from itemwire.channels.cluster.inquiries import (
    MAX_ANSWER_BYTES,
    Inquiry,
    NodeAnswer,
    NodeQuestion,
    NodeTold,
)
from itemwire.channels.cluster.notices import MAX_NOTICE_BYTES, Notice, read_notice
from itemwire.channels.cluster.peer import DEAD_TICKS
from itemwire.channels.cluster.questions import AT_ONCE, MAX_NODES, Questions
from itemwire.counters import ChannelCounters
from tests.channels.cluster.askers import (
    Wire,
    crowd,
    doubled,
    doubled_slowly,
    greet,
    hear_number,
)


def test_all_nodes_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that asks first; nobody waits once the last has answered."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 3600)
    wire = crowd("a", "b", "c")
    wire.nodes[2].answer_with("double", doubled_slowly)

    answers = asyncio.run(asyncio.wait_for(wire.nodes[0].ask("double", 21, int), 30))

    assert list(answers.by_node.items()) == [("a", 42), ("b", 42), ("c", 42)]
    assert answers.missing == []


def test_a_node_alone_asks_nobody() -> None:
    """Nothing goes over the engine of a server that is all there is."""
    wire = crowd("a")

    answers = asyncio.run(wire.nodes[0].ask("double", 1, int))

    assert (answers.by_node, answers.missing, wire.posted) == ({"a": 2}, [], [])


def test_who_does_not_answer_in_time_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not waited for longer than that."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    wire = crowd("a", "b")
    greet(wire.nodes[0], "killed")

    answers = asyncio.run(wire.nodes[0].ask("double", 1, int))

    assert (answers.by_node, answers.missing) == ({"a": 2, "b": 2}, ["killed"])


def test_nobody_is_waited_for_whom_the_engine_does_not_reach() -> None:
    """The operator sees this node at once, and that the others are missing."""
    wire = crowd("a", "b")
    wire.refuses = True

    async def ask() -> tuple[object, list[str], float]:
        began = asyncio.get_running_loop().time()
        answers = await wire.nodes[0].ask("double", 1, int)
        return answers.by_node, answers.missing, asyncio.get_running_loop().time() - began

    by_node, missing, seconds = asyncio.run(ask())

    assert (by_node, missing) == ({"a": 2}, ["b"])
    assert seconds < module.WAIT_SECONDS


def test_a_node_that_stops_or_falls_silent_is_asked_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that goes says so; one that was killed is known by its silence."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    node = Questions("a", Wire(), ChannelCounters())
    greet(node, "b", "c")
    node.receive(Notice("b", gossip=Gossip(2, [NodeStopping()])))
    before = node.other_nodes
    now += DEAD_TICKS + 0.1

    assert (before, node.other_nodes) == (["c"], [])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(NodeAnswer("a", 1, msgspec.Raw(b'"text"')), id="another-kind"),
        pytest.param(NodeAnswer("b", 1, msgspec.Raw(b"4")), id="to-another"),
        pytest.param(NodeAnswer("a", 2, msgspec.Raw(b"4")), id="to-another-question"),
        pytest.param(NodeTold("double", msgspec.Raw(b"4")), id="no-answer"),
    ],
)
def test_what_is_no_answer_leaves_its_node_missing(
    answer: Inquiry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus is not trusted; a good answer in its place is the twin."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)

    def asked(told: Inquiry) -> list[str]:
        wire = crowd("a")
        greet(wire.nodes[0], "b")

        async def ask() -> list[str]:
            asyncio.get_running_loop().call_soon(wire.nodes[0].receive, Notice("b", inquiry=told))
            return (await wire.nodes[0].ask("double", 1, int)).missing

        return asyncio.run(ask())

    assert asked(answer) == ["b"]
    assert asked(NodeAnswer("a", 1, msgspec.Raw(b"4"))) == []


def test_a_stranger_answers_for_nobody() -> None:
    """Who was not there when it was asked is not among the answers."""
    wire = crowd("a", "b")

    async def ask() -> object:
        forged = Notice("stranger", inquiry=NodeAnswer("a", 1, msgspec.Raw(b"0")))
        asyncio.get_running_loop().call_soon(wire.nodes[0].receive, forged)
        return (await wire.nodes[0].ask("double", 1, int)).by_node

    assert asyncio.run(ask()) == {"a": 2, "b": 2}


@pytest.mark.parametrize(("kind", "facts"), [("double", b'"x"'), ("unknown", b"1")])
def test_a_question_that_cannot_be_read_is_not_answered(kind: str, facts: bytes) -> None:
    """And costs the node nothing but a line."""
    wire = crowd("a")
    node = wire.nodes[0]

    async def ask(*inquiry: tuple[str, bytes]) -> list[Notice]:
        for one, content in inquiry:
            question = NodeQuestion(1, one, msgspec.Raw(content))
            node.receive(Notice("b", inquiry=question))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return wire.posted

    assert asyncio.run(ask((kind, facts))) == []
    (answered,) = asyncio.run(ask(("double", b"2")))
    assert answered.inquiry == NodeAnswer("b", 1, msgspec.Raw(b"4"))


@pytest.mark.parametrize("failure", [RuntimeError("broken"), ValueError("wrong")])
def test_a_handler_that_fails_leaves_the_node_at_work(failure: Exception) -> None:
    """Whoever asked is told that this node is missing."""

    async def fails(_facts: msgspec.Raw) -> object:
        raise failure

    wire = crowd("a", handler=fails)

    async def ask() -> None:
        wire.nodes[0].receive(Notice("b", inquiry=NodeQuestion(1, "double", msgspec.Raw(b"1"))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(ask())

    assert wire.posted == []


def test_an_answer_is_no_larger_than_a_notice_may_be() -> None:
    """A larger one would be refused by whoever gets it."""

    async def long(_facts: msgspec.Raw) -> object:
        return "x" * (MAX_ANSWER_BYTES - 2)

    async def too_long(_facts: msgspec.Raw) -> object:
        return "x" * (MAX_ANSWER_BYTES - 1)

    for handler, count in ((long, 1), (too_long, 0)):
        wire = crowd("a", handler=handler)

        async def ask(node: Questions = wire.nodes[0]) -> None:
            node.receive(Notice("b", inquiry=NodeQuestion(1, "double", msgspec.Raw(b"1"))))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        asyncio.run(ask())

        assert len(wire.posted) == count
        for notice in wire.posted:
            assert read_notice(notice.encoded()) == notice


def test_only_so_many_questions_are_answered_at_once() -> None:
    """Whoever floods the bus with questions does not fill the memory with tasks."""
    begun: list[int] = []

    async def waits(_facts: msgspec.Raw) -> object:
        begun.append(1)
        await asyncio.Event().wait()
        return None

    wire = crowd("a", handler=waits)

    async def flood() -> None:
        for number in range(AT_ONCE + 5):
            question = NodeQuestion(number, "double", msgspec.Raw(b"1"))
            wire.nodes[0].receive(Notice("b", inquiry=question))
        await asyncio.sleep(0)
        await wire.nodes[0].stop()

    asyncio.run(flood())

    assert len(begun) == AT_ONCE


def test_goes_on_answering_once_earlier_questions_are_done() -> None:
    """Only those that are being answered count."""
    wire = crowd("a")

    async def asked() -> None:
        for number in range(3 * AT_ONCE):
            question = NodeQuestion(number, "double", msgspec.Raw(b"1"))
            wire.nodes[0].receive(Notice("b", inquiry=question))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(asked())

    assert len(wire.posted) == 3 * AT_ONCE


def test_a_node_that_stops_leaves_no_answer_behind() -> None:
    """What is being answered is cancelled, and has ended when it has stopped."""
    has_ended: list[int] = []

    async def waits(_facts: msgspec.Raw) -> object:
        try:
            await asyncio.Event().wait()
        finally:
            has_ended.append(1)
        return None

    wire = crowd("a", handler=waits)

    async def stopped() -> list[int]:
        question = NodeQuestion(1, "double", msgspec.Raw(b"1"))
        wire.nodes[0].receive(Notice("b", inquiry=question))
        await asyncio.sleep(0)
        await wire.nodes[0].stop()
        seen = list(has_ended)
        wire.nodes[0].receive(Notice("b", inquiry=question))
        return seen

    assert asyncio.run(stopped()) == [1]
    assert has_ended == [1]


def test_what_cannot_be_read_is_counted() -> None:
    """Once for each: a question, an answer, and what was told."""
    wire, counters = crowd("a"), ChannelCounters()
    node = Questions("a", wire, counters)
    node.answer_with("double", doubled)
    node.hear_with("double", hear_number)
    greet(node, "b")
    bad = msgspec.Raw(b'"x"')

    async def asked() -> list[int]:
        counts: list[int] = []
        node.receive(Notice("b", inquiry=NodeQuestion(1, "double", bad)))
        await asyncio.sleep(0)
        counts.append(counters.notices_dropped)
        node.receive(Notice("b", inquiry=NodeTold("double", bad)))
        counts.append(counters.notices_dropped)
        answer = Notice("b", inquiry=NodeAnswer("a", 1, bad))
        asyncio.get_running_loop().call_soon(node.receive, answer)
        await node.ask("double", 1, int)
        return [*counts, counters.notices_dropped]

    assert asyncio.run(asked()) == [1, 2, 3]


def test_past_its_bound_a_question_reaches_this_node_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are missing then, as if they were silent."""
    wire = crowd("a", "b")
    monkeypatch.setattr(module, "MAX_OPEN", 0)
    refused = asyncio.run(wire.nodes[0].ask("double", 1, int))
    monkeypatch.setattr(module, "MAX_OPEN", 1)
    asked = asyncio.run(wire.nodes[0].ask("double", 1, int))

    assert (refused.by_node, refused.missing) == ({"a": 2}, ["b"])
    assert (asked.by_node, asked.missing) == ({"a": 2, "b": 2}, [])


def test_only_so_many_nodes_are_known() -> None:
    """Names that somebody invents do not fill the memory either."""
    node = Questions("a", Wire(), ChannelCounters())
    greet(node, *(f"n{number}" for number in range(MAX_NODES + 5)))

    assert len(node.other_nodes) == MAX_NODES


def test_tells_every_other_node() -> None:
    """What cannot be read is dropped, and nobody is told anything by a node alone."""
    wire = crowd("a", "b")
    heard: list[tuple[str, int]] = []

    def hear(node: str, facts: msgspec.Raw) -> None:
        heard.append((node, msgspec.json.decode(facts, type=int)))

    wire.nodes[1].hear_with("number", hear)

    async def tell() -> None:
        for facts in (1, "text", 2):
            wire.nodes[0].tell("number", facts)
        wire.nodes[0].tell("unknown", 3)
        await asyncio.sleep(0)
        Questions("alone", wire, ChannelCounters()).tell("number", 4)

    asyncio.run(tell())

    assert heard == [("a", 1), ("a", 2)]
    assert len(wire.posted) == 4


def test_other_notices_are_left_to_others() -> None:
    """A revocation or gossip is not swallowed."""
    node = Questions("a", Wire(), ChannelCounters())

    assert node.receive(Notice("b", gossip=Gossip(1))) is False
    assert node.receive(Notice("b", connection="c")) is False
    assert node.other_nodes == ["b"]


def test_who_asks_or_tells_is_there() -> None:
    """As who gossips is; a revocation may be one that its node has left behind."""
    node = Questions("a", Wire(), ChannelCounters())
    node.receive(Notice("gone", connection="c"))
    is_taken = node.receive(Notice("b", inquiry=NodeTold("unknown", msgspec.Raw(b"1"))))

    assert is_taken
    assert node.other_nodes == ["b"]


def test_an_answer_has_room_for_a_long_page() -> None:
    """A notice carries it with its envelope, and little more."""
    assert MAX_NOTICE_BYTES / 2 < MAX_ANSWER_BYTES < MAX_NOTICE_BYTES - 4096
