"""A join of many items at once: one answer for each, and as many joins as it names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itemwire.channels.limits.bounds import RateLimits
from tests.fakes import EVERYTHING, LIMITS, ItemRules, LateEngine, ManyPeer, Stage

ITEMS = [f"item-{number}" for number in range(10)]


@pytest.fixture
def rules() -> ItemRules:
    """Rules by which ten items may be joined, and no other."""
    return ItemRules(dict.fromkeys(ITEMS, EVERYTHING))


def answers(peer: ManyPeer, ref: int = 1) -> list[tuple[str, str | None]]:
    """Tell of each answer to a request what it says, and about which item."""
    found = [one for one in peer.sees if one.get("ref") == ref]
    return [(one.get("code", one["type"]), one.get("item")) for one in found]


def test_each_item_is_answered_with_the_ref_and_its_name(stage: Stage, rules: ItemRules) -> None:
    """Those that may be joined and those that may not, each on its own."""
    many = stage.open(rules)
    many.says("join", ref=1, items=[{"item": ITEMS[0]}, {"item": "x"}, {"item": ITEMS[1]}])

    assert answers(many) == [("welcome", ITEMS[0]), ("forbidden", "x"), ("welcome", ITEMS[1])]
    assert rules.asked == [ITEMS[0], "x", ITEMS[1]]


def test_what_is_published_afterwards_is_heard(stage: Stage, rules: ItemRules) -> None:
    """The items are joined as if each had been asked for alone."""
    many, one = stage.open(rules), stage.join(item=ITEMS[1])
    many.says("join", ref=1, items=[{"item": item} for item in ITEMS])
    one.says("publish", data="hello")

    assert [message["item"] for message in many.saw("message")] == [ITEMS[1]]


def test_each_item_begins_where_the_list_says(stage: Stage, rules: ItemRules) -> None:
    """A client that reconnects goes on with each of its items from its own position."""
    one = stage.join(item=ITEMS[0])
    for number in range(4):
        one.says("publish", data=number)
    resume = one.sees[0]["resume"]
    many = stage.open(rules)
    items = [
        {"item": ITEMS[0], "since": f"{resume}:2"},
        {"item": ITEMS[1], "replay": 5},
        {"item": ITEMS[2]},
    ]
    many.says("join", ref=1, items=items)

    recovered = {one["item"]: one["recovered"] for one in many.saw("welcome")}
    assert recovered == {ITEMS[0]: True, ITEMS[1]: False, ITEMS[2]: False}
    assert [message["data"] for message in many.saw("message")] == [2, 3]


def test_a_wrong_position_is_its_own_items_fault(stage: Stage, rules: ItemRules) -> None:
    """The others are joined."""
    many = stage.open(rules)
    many.says("join", ref=1, items=[{"item": ITEMS[0], "since": "7"}, {"item": ITEMS[1]}])

    assert answers(many) == [("payload_invalid", ITEMS[0]), ("welcome", ITEMS[1])]


def test_an_item_that_is_named_twice_is_joined_once(rules: ItemRules) -> None:
    """Also while its join is not answered yet: the second waits for the first."""
    engine = LateEngine()
    many = Stage(engine).open(rules)
    many.says("ping", ref=0)
    many.says("join", ref=1, items=[{"item": ITEMS[0]}, {"item": ITEMS[0]}])
    assert answers(many) == []
    engine.settle()

    assert answers(many) == [("welcome", ITEMS[0]), ("already_joined", ITEMS[0])]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"items": []}, id="empty"),
        pytest.param({"items": [{}]}, id="no_name"),
        pytest.param({"items": [{"item": ITEMS[0], "ref": 1}]}, id="unknown_field"),
        pytest.param({"items": [{"item": ITEMS[0], "replay": -1}]}, id="negative"),
        pytest.param({"items": [ITEMS[0]]}, id="texts"),
        pytest.param({"items": [{"item": ITEMS[0]}], "item": ITEMS[1]}, id="and_an_item"),
        pytest.param({"items": [{"item": ITEMS[0]}], "since": "e:1"}, id="and_a_position"),
        pytest.param({"items": [{"item": ITEMS[0]}], "replay": 1}, id="and_a_replay"),
        pytest.param({"items": [{"item": f"x{n}"} for n in range(101)]}, id="too_many"),
    ],
)
def test_a_list_that_is_none_is_refused_as_a_whole(
    stage: Stage, rules: ItemRules, fields: dict[str, object]
) -> None:
    """By one error that names no item, so nothing of it was joined."""
    many = stage.open(rules)
    many.says("join", ref=1, **fields)

    assert answers(many) == [("payload_invalid", None)]
    assert rules.asked == []


def test_a_list_of_as_many_items_as_there_may_be_is_taken(rules: ItemRules) -> None:
    """The twin of one that is too long; what is joined already counts as ever."""
    stage = Stage(limits=replace(LIMITS, max_items=3))
    many = stage.open(rules)
    many.joins(ITEMS[9])
    many.says("join", ref=1, items=[{"item": item} for item in ITEMS[:3]])

    assert answers(many) == [
        ("welcome", ITEMS[0]),
        ("welcome", ITEMS[1]),
        ("item_limit", ITEMS[2]),
    ]


def test_costs_as_many_joins_as_it_names(rules: ItemRules) -> None:
    """Past the rate the rest are refused, each by name and with the time to wait."""
    stage = Stage(rate_limits=RateLimits(join=1, join_burst=3))
    many = stage.open(rules)
    many.says("join", ref=1, items=[{"item": item} for item in ITEMS[:5]])
    alone = many.joins(ITEMS[9], ref=2)
    refused = many.saw("error")

    assert answers(many) == [
        *(("welcome", item) for item in ITEMS[:3]),
        *(("rate_limited", item) for item in ITEMS[3:5]),
    ]
    assert {one["retry_after_ms"] for one in refused[:2]} == {1000}
    assert alone["code"] == "rate_limited"

    stage.pass_time(1)
    assert many.joins(ITEMS[9], ref=3)["type"] == "welcome"


def test_a_list_past_the_rate_of_history_names_the_item(rules: ItemRules) -> None:
    """A replay is charged to another rate, and the refusal says of which item it is."""
    stage = Stage(rate_limits=RateLimits(history=1))
    many = stage.open(rules)
    items = [{"item": item, "replay": 1} for item in ITEMS[:4]]
    many.says("join", ref=1, items=items)

    assert answers(many) == [
        *(("welcome", item) for item in ITEMS[:2]),
        *(("rate_limited", item) for item in ITEMS[2:4]),
    ]


def test_a_flood_of_lists_ends_its_connection(rules: ItemRules) -> None:
    """As a flood of single joins does (requirement 96)."""
    many = Stage(rate_limits=RateLimits(join=1)).open(rules)
    for _ in range(200):
        many.session.received('{"type":"join","items":[{"item":"a"},{"item":"b"}]}')

    assert many.transport.reasons == ["rate_limited"]


def test_requests_right_behind_a_list_wait_for_their_item(rules: ItemRules) -> None:
    """A client need not wait for its welcome."""
    engine = LateEngine()
    many = Stage(engine).open(rules)
    many.session.received('{"type":"join","ref":1,"items":[{"item":"item-0"},{"item":"item-1"}]}')
    many.session.received('{"type":"leave","ref":2,"item":"item-0"}')
    engine.settle()

    assert answers(many) == [("welcome", ITEMS[0]), ("welcome", ITEMS[1])]
    assert answers(many, 2) == [("reply", None)]
