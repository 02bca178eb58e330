"""A connection with many items: joins, refusals, and bursts of requests."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typing_extensions import override

from itemwire.channels.reauthorization import Verdict
from itemwire.close_reasons import FORBIDDEN, OVERLOADED
from itemwire_auth.principal import Principal
from itemwire_auth.scopes import Action
from tests.fakes import EVERYTHING, ITEM, LIMITS, ItemRules, LateEngine, Stage

READING = frozenset({Action.SUBSCRIBE})
OTHER = "43"


@pytest.fixture
def rules() -> ItemRules:
    """Rules by which two items may be joined, and no other."""
    return ItemRules({ITEM: EVERYTHING, OTHER: EVERYTHING})


def join(item: str, **fields: object) -> str:
    """Write the request to join an item."""
    return json.dumps({"type": "join", "item": item, **fields})


def codes(errors: list[dict[str, object]]) -> list[tuple[object, object]]:
    """Tell which request each error is about, and what it says."""
    return [(one.get("ref"), one["code"]) for one in errors]


def test_is_welcomed_to_each_item_it_joins(stage: Stage, rules: ItemRules) -> None:
    """With the rights it has there, and the request's own `ref`."""
    rules.can[OTHER] = READING
    many = stage.open(rules)
    first, second = many.joins(ITEM, ref=1), many.joins(OTHER, ref=2)

    assert (first["type"], first["item"], first["ref"]) == ("welcome", ITEM, 1)
    assert (second["item"], second["can"], second["ref"]) == (OTHER, ["subscribe"], 2)
    assert rules.asked == [ITEM, OTHER]


def test_is_welcomed_to_nothing_before_it_asks(stage: Stage, rules: ItemRules) -> None:
    """The first envelope is the answer to the first join."""
    assert stage.open(rules).sees == []


def test_hears_what_is_published_to_its_items_as_others_do(stage: Stage, rules: ItemRules) -> None:
    """The same bytes as on a socket of one item."""
    many, one = stage.open(rules), stage.join()
    many.joins(ITEM)
    one.says("publish", data="hello")

    assert many.saw("message") == one.saw("message")


def test_publishes_to_the_item_that_a_request_names(stage: Stage, rules: ItemRules) -> None:
    """And to no other."""
    many = stage.open(rules)
    many.joins(ITEM)
    many.joins(OTHER)
    many.says("publish", item=OTHER, data=1, ref=5)

    assert [one["item"] for one in many.saw("message")] == [OTHER]
    assert many.saw("reply")[0]["ref"] == 5


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        pytest.param({"kind": "publish", "data": 1}, "payload_invalid", id="names-none"),
        pytest.param({"kind": "publish", "data": 1, "item": "x"}, "not_joined", id="not-joined"),
        pytest.param({"kind": "history", "item": "x"}, "not_joined", id="history"),
        pytest.param({"kind": "members", "item": "x"}, "not_joined", id="members"),
        pytest.param({"kind": "leave", "item": "x"}, "not_joined", id="leave"),
        pytest.param({"kind": "join"}, "payload_invalid", id="join-names-none"),
        pytest.param({"kind": "join", "item": "x"}, "forbidden", id="not-allowed"),
        pytest.param({"kind": "join", "item": ITEM}, "already_joined", id="joined"),
        pytest.param({"kind": "join", "item": "x", "since": "7"}, "payload_invalid", id="since"),
    ],
)
def test_is_told_what_was_wrong_and_keeps_the_socket(
    stage: Stage, rules: ItemRules, request_: dict[str, object], code: str
) -> None:
    """An error of one request is no end of the others."""
    many = stage.open(rules)
    many.joins(ITEM)
    error = many.says(str(request_.pop("kind")), ref=1, **request_)
    pong = many.says("ping", ref=2)

    assert (error["type"], error["ref"], error["code"]) == ("error", 1, code)
    assert not error["temporary"]
    assert pong["type"] == "pong"


def test_needs_the_right_to_history_for_a_replay(stage: Stage, rules: ItemRules) -> None:
    """As on the item's own route; with the right it gets in."""
    rules.can[OTHER] = READING
    many = stage.open(rules)
    refused, welcome = many.joins(OTHER, replay=5), many.joins(ITEM, replay=5)

    assert refused["code"] == "scope_missing"
    assert welcome["type"] == "welcome"


def test_joins_no_more_items_than_a_socket_may_hear(rules: ItemRules) -> None:
    """Also when they are asked for all at once; leaving one makes room (requirement 96)."""
    rules.can = dict.fromkeys("abcde", EVERYTHING)
    rules.is_slow = True
    stage = Stage(limits=replace(LIMITS, max_items=2))
    many = stage.open(rules)
    for item in "abc":
        many.session.received(join(item, ref=item))
    rules.say()
    rules.say()
    many.says("leave", item="a")
    many.session.received(join("c"))
    rules.say()

    assert codes(many.saw("error")) == [("c", "item_limit")]
    assert [one["item"] for one in many.saw("welcome")] == ["a", "b", "c"]


def test_an_item_that_the_engine_joins_counts_once(late_engine: LateEngine) -> None:
    """It is on its way and on the channel already; the second item of two is no third."""
    stage = Stage(late_engine, replace(LIMITS, max_items=2))
    many = stage.open(ItemRules(dict.fromkeys("abc", EVERYTHING)))
    for item in "abc":
        many.session.received(join(item, ref=item))
    late_engine.settle()

    assert [one["ref"] for one in many.saw("welcome")] == ["a", "b"]
    assert codes(many.saw("error")) == [("c", "item_limit")]


def test_keeps_what_is_asked_of_an_item_until_it_is_joined(stage: Stage, rules: ItemRules) -> None:
    """A client need not wait; what is asked of another item meanwhile does not wait either."""
    many = stage.open(rules)
    many.joins(OTHER)
    rules.is_slow = True
    many.session.received(join(ITEM))
    many.says("publish", item=OTHER, data="now")
    many.says("publish", item=ITEM, data="early")
    before = [one["data"] for one in many.saw("message")]
    rules.say()

    assert before == ["now"]
    assert [one["data"] for one in many.saw("message")] == ["now", "early"]


def test_answers_what_was_asked_of_an_item_that_it_may_not_join(
    stage: Stage, rules: ItemRules
) -> None:
    """No request is left without an answer."""
    rules.is_slow = True
    many = stage.open(rules)
    many.session.received(join("x", ref=1))
    many.session.received('{"type":"publish","item":"x","data":1,"ref":2}')
    rules.say()

    assert codes(many.saw("error")) == [(1, "forbidden"), (2, "not_joined")]


def test_hears_nothing_of_an_item_after_the_reply_to_leave(stage: Stage, rules: ItemRules) -> None:
    """Not even what this loop tick has sent to it already; and it can come back."""
    many, one = stage.open(rules), stage.join()
    many.joins(ITEM)
    one.session.received('{"type":"publish","data":"before"}')
    many.session.received('{"type":"leave","item":"42","ref":3}')
    one.session.received('{"type":"publish","data":"after"}')
    kinds = [envelope["type"] for envelope in many.sees[-1:]]
    again = many.joins(ITEM)

    assert kinds == ["reply"]
    assert again["type"] == "welcome"
    assert [one["data"] for one in many.saw("message")] in ([], ["before"])


def test_is_told_when_the_engine_cannot_join_an_item(late_engine: LateEngine) -> None:
    """The others go on, and a later try gets in."""
    stage, rules = Stage(late_engine), ItemRules({ITEM: EVERYTHING})
    many = stage.open(rules)
    late_engine.broken.add("read")
    many.session.received(join(ITEM, ref=1))
    late_engine.settle()
    late_engine.broken.clear()
    many.session.received(join(ITEM, ref=2))
    late_engine.settle()

    assert [(one["code"], one["temporary"]) for one in many.saw("error")] == [("overloaded", True)]
    assert [one["ref"] for one in many.saw("welcome")] == [2]


def test_leaves_every_item_when_the_socket_is_gone(stage: Stage, rules: ItemRules) -> None:
    """Whatever was on its way comes to nothing."""
    many, watcher = stage.open(rules), stage.join("bob", item=OTHER)
    many.joins(OTHER)
    rules.is_slow = True
    many.session.received(join(ITEM))
    many.session.closed(1000)
    rules.say()

    assert stage.known_members(OTHER).members == [watcher.session.subscription.member]
    assert stage.known_members(ITEM).members == []


def test_a_join_that_cannot_be_worked_out_may_be_tried_again(
    stage: Stage, rules: ItemRules
) -> None:
    """`temporary` says so; what is denied is not."""
    many = stage.open(rules)
    rules.problem = OVERLOADED
    temporary = many.joins(ITEM)
    rules.problem = FORBIDDEN
    final = many.joins(ITEM)
    rules.problem = None
    welcome = many.joins(ITEM)

    assert (temporary["temporary"], final["temporary"]) == (True, False)
    assert welcome["type"] == "welcome"


@pytest.mark.parametrize("is_slow", [False, True], ids=["at-once", "later"])
@pytest.mark.parametrize("length", range(1, 8))
def test_the_last_wish_wins_in_a_burst(rules: ItemRules, length: int, is_slow: bool) -> None:
    """Join, leave, join … before anything is answered; each is answered once (requirement 127)."""
    stage = Stage()
    rules.is_slow = is_slow
    many = stage.open(rules)
    for ref in range(length):
        kind = "leave" if ref % 2 else "join"
        many.session.received(json.dumps({"type": kind, "item": ITEM, "ref": ref}))
    while rules.waits:
        rules.say()
    stage.join("bob").says("publish", data="heard")
    many.session.received('{"type":"refresh","token":"alice","ref":"refresh"}')
    while rules.waits:
        rules.say()
    answers = [one["ref"] for one in many.sees if "ref" in one]

    assert answers == [*range(length), "refresh"]
    assert bool(many.saw("message")) == bool(length % 2)


def test_a_long_burst_takes_no_more_than_its_length(rules: ItemRules) -> None:
    """What waits is handed on, not copied for each join: 8,000 requests take no seconds."""
    rules.is_slow = True
    many = Stage(limits=replace(LIMITS, outbox_bytes=1_000_000)).open(rules)
    for ref in range(4000):
        many.session.received(join(ITEM, ref=ref))
        many.session.received('{"type":"leave","item":"42"}')
    rules.is_slow = False
    rules.say()

    assert len(many.saw("welcome")) == len(many.saw("reply")) == 4000


def test_holds_no_more_early_commands_of_all_items_than_of_one(rules: ItemRules) -> None:
    """A hundred items that are being joined are no reason to keep a hundred outboxes."""
    payload = "x" * (LIMITS.outbox_bytes // 2 - 200)
    rules.is_slow = True
    ends = []
    for items in ((ITEM, OTHER), (ITEM, OTHER, ITEM)):
        many = Stage().open(rules)
        for item in (ITEM, OTHER):
            many.session.received(join(item))
        for item in items:
            many.session.received(json.dumps({"type": "publish", "item": item, "data": payload}))
        ends.append(many.transport.reasons)

    assert ends == [[], ["overloaded"]]


class Faulty(ItemRules):
    """Rules whose verdict nothing can be done with."""

    @override
    def _verdict(self, caller: Principal, item_id: str) -> Verdict:
        return None  # type: ignore[return-value] # that is the fault


def test_ends_alone_when_a_verdict_cannot_be_used() -> None:
    """Its client is not left without an answer, and others are not concerned."""
    rules, stage = Faulty(), Stage()
    rules.is_slow = True
    many, other = stage.open(rules), stage.open(ItemRules({ITEM: EVERYTHING}))
    many.session.received(join(ITEM))
    rules.say()

    assert many.transport.reasons == ["internal"]
    assert other.joins(ITEM)["type"] == "welcome"
