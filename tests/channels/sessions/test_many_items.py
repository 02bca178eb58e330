"""A connection with many items: joins, refusals, and what a refresh ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from typing_extensions import override

from itemwire.channels.limits.bounds import Lifetime, RateLimits
from itemwire.channels.reauthorization import Denied, Renewal, Verdict
from itemwire.close_reasons import CREDENTIALS_INVALID, FORBIDDEN, OVERLOADED, CloseReason
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action
from tests.fakes import EVERYTHING, ITEM, LIMITS, ItemRules, LateEngine, Stage, principal

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

    assert stage.node.members(OTHER).members == [watcher.session.subscription.member]
    assert stage.node.members(ITEM).members == []


def test_a_refresh_keeps_what_is_allowed_and_ends_the_rest(stage: Stage, rules: ItemRules) -> None:
    """Rights shrink at once and by item (requirement 69)."""
    many, publisher = stage.open(rules), stage.join(item=OTHER)
    many.joins(ITEM)
    many.joins(OTHER)
    rules.can = {ITEM: READING}
    reply = many.says("refresh", token="alice", ref=1)
    publisher.says("publish", data="unheard")

    assert reply["items"] == {ITEM: ["subscribe"]}
    assert [(one["item"], one["reason"]) for one in many.saw("ended")] == [(OTHER, "forbidden")]
    assert many.saw("message") == []


def test_a_refresh_waits_for_joins_and_joins_wait_for_it(stage: Stage, rules: ItemRules) -> None:
    """A join that was worked out by the old token must not outlive it (requirement 69)."""
    rules.is_slow = True
    many = stage.open(rules)
    many.session.received(join(ITEM))
    many.session.received('{"type":"refresh","token":"alice"}')
    many.session.received(join(OTHER))
    asked = [list(rules.asked)]
    for _ in range(3):
        rules.say()
        asked.append(list(rules.asked))

    assert asked == [
        [ITEM],
        [ITEM, f"renew {ITEM}"],
        [ITEM, f"renew {ITEM}", OTHER],
        [ITEM, f"renew {ITEM}", OTHER],
    ]
    assert [one["type"] for one in many.sees] == ["welcome", "reply", "welcome"]


def test_a_refresh_with_another_callers_token_changes_nothing(
    stage: Stage, rules: ItemRules
) -> None:
    """A socket stays its caller's; with a token of the same one it is renewed."""
    many = stage.open(rules)
    many.joins(ITEM)
    refused = many.says("refresh", token="mallory")
    renewed = many.says("refresh", token="alice")

    assert (refused["type"], refused["code"]) == ("error", CREDENTIALS_INVALID.reason)
    assert renewed["type"] == "reply"


def test_a_refresh_that_cannot_be_worked_out_for_one_item_changes_none(
    stage: Stage, rules: ItemRules
) -> None:
    """A policy that is down takes nobody's rights away, and gives none."""
    many = stage.open(rules)
    many.joins(ITEM)
    rules.problem = OVERLOADED
    error = many.says("refresh", token="alice")
    rules.problem = None
    many.says("publish", item=ITEM, data=1)

    assert (error["code"], error["temporary"]) == ("overloaded", True)
    assert len(many.saw("message")) == 1


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


def test_tells_a_refreshed_socket_without_items_its_new_end(rules: ItemRules) -> None:
    """It is warned too, though it hears nothing yet."""
    stage = Stage(lifetime=Lifetime(warning=30))
    many = stage.open(rules, life=60)
    stage.clock.now += 31
    stage.node.tick()
    warned = many.saw("expiring")
    reply = many.says("refresh", token="alice")

    assert len(warned) == 1
    assert reply["items"] == {}
    assert reply["expires_at"] == many.connection.principal.expires_at


def test_a_refresh_ends_an_item_that_is_still_being_joined(late_engine: LateEngine) -> None:
    """No welcome comes after it, and the next join starts from the beginning."""
    stage, rules = Stage(late_engine), ItemRules({ITEM: EVERYTHING})
    many = stage.open(rules)
    many.session.received(join(ITEM, ref=1))
    late_engine.step(2)
    rules.can = {}
    many.session.received('{"type":"refresh","token":"alice","ref":2}')
    rules.can = {ITEM: EVERYTHING}
    many.session.received(join(ITEM, ref=3))
    late_engine.settle()

    seen = [(one["type"], one["ref"]) for one in many.sees]
    assert seen == [("error", 1), ("reply", 2), ("welcome", 3)]


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


def test_does_not_read_back_an_item_that_a_refresh_took_away(late_engine: LateEngine) -> None:
    """Not even by an answer that was on its way; before, it is given."""
    stage, rules = Stage(late_engine), ItemRules({ITEM: EVERYTHING})
    many = stage.open(rules)
    many.session.received(join(ITEM))
    late_engine.settle()
    many.session.received('{"type":"history","item":"42","ref":1}')
    late_engine.settle()
    many.session.received('{"type":"history","item":"42","ref":2}')
    rules.can = {}
    many.session.received('{"type":"refresh","token":"alice"}')
    late_engine.settle()

    assert [one["ref"] for one in many.saw("reply") if "messages" in one] == [1]
    assert codes(many.saw("error")) == [(2, "scope_missing")]


def test_an_answer_on_its_way_is_not_given_once_its_item_is_lost(late_engine: LateEngine) -> None:
    """History that was asked for with the right to it is denied if the right is gone by then.

    The same request on the item that is kept is answered.
    """
    rules = ItemRules({ITEM: EVERYTHING, OTHER: EVERYTHING})
    many = Stage(late_engine).open(rules)
    for item in (ITEM, OTHER):
        many.session.received(join(item))
        late_engine.settle()
    many.session.received(f'{{"type":"history","item":"{ITEM}","ref":1}}')
    many.session.received(f'{{"type":"history","item":"{OTHER}","ref":2}}')
    rules.can = {OTHER: EVERYTHING}
    many.session.received('{"type":"refresh","token":"alice","ref":3}')
    late_engine.settle()

    answers = [(one["type"], one["ref"]) for one in many.sees if one.get("ref") in {1, 2}]
    assert answers == [("error", 1), ("reply", 2)]
    assert codes(many.saw("error")) == [(1, "scope_missing")]


class ForeignGrants(ItemRules):
    """Rules whose grant may be another caller's, for another item, or without the right to hear."""

    def __init__(self) -> None:
        super().__init__({ITEM: EVERYTHING, OTHER: EVERYTHING})
        self.changes: dict[str, object] = {}

    @override
    def _verdict(self, caller: Principal, item_id: str) -> Verdict:
        verdict = super()._verdict(caller, item_id)
        assert isinstance(verdict, Grant)
        return replace(verdict, **self.changes)  # type: ignore[arg-type]


FOREIGN = [
    pytest.param({"principal": principal("mallory")}, id="another-subject"),
    pytest.param({"principal": replace(principal("alice"), issuer="other")}, id="another-issuer"),
    pytest.param({"item_id": OTHER}, id="another-item"),
    pytest.param({"can": EVERYTHING - {Action.SUBSCRIBE}}, id="not-to-subscribe"),
]


@pytest.mark.parametrize("changes", FOREIGN)
def test_a_grant_that_is_not_for_this_caller_and_item_joins_nothing(
    stage: Stage, changes: dict[str, object]
) -> None:
    """An application's own rule may confuse two of them; with the right grant it is joined."""
    rules = ForeignGrants()
    many = stage.open(rules)
    rules.changes = changes
    refused = many.joins(ITEM)
    rules.changes = {}
    welcome = many.joins(ITEM)

    assert (refused["type"], refused["code"]) == ("error", "forbidden")
    assert welcome["type"] == "welcome"


@pytest.mark.parametrize("changes", FOREIGN)
def test_a_refresh_ends_an_item_whose_new_grant_is_not_for_it(
    stage: Stage, changes: dict[str, object]
) -> None:
    """As at the join; with the right grant the item is kept."""
    rules = ForeignGrants()
    many = stage.open(rules)
    many.joins(ITEM)
    kept = many.says("refresh", token="alice")
    rules.changes = changes
    lost = many.says("refresh", token="alice")

    assert list(kept["items"]) == [ITEM]
    assert lost["items"] == {}
    assert [(one["item"], one["reason"]) for one in many.saw("ended")] == [(ITEM, "forbidden")]


class Denying(ItemRules):
    """Rules that deny a newer token for a reason."""

    def __init__(self, reason: CloseReason) -> None:
        super().__init__({ITEM: EVERYTHING})
        self.reason = reason

    @override
    def renew(
        self,
        token: str,
        items: Sequence[str],
        due: float,
        answer: Callable[[Renewal | Denied], None],
    ) -> None:
        answer(Denied(self.reason, principal(token)))


@pytest.mark.parametrize(
    ("reason", "token", "ends"),
    [
        pytest.param(FORBIDDEN, "alice", ["forbidden"], id="may not be here"),
        pytest.param(OVERLOADED, "alice", [], id="not known now"),
        pytest.param(CREDENTIALS_INVALID, "alice", [], id="not a good token"),
        pytest.param(FORBIDDEN, "mallory", [], id="what another may not"),
    ],
)
def test_a_refresh_ends_a_socket_whose_caller_may_not_be_here(
    stage: Stage, reason: CloseReason, token: str, ends: list[str]
) -> None:
    """Whatever else is wrong with the new token leaves the connection as it was."""
    many = stage.open(Denying(reason))
    many.joins(ITEM)
    many.says("refresh", token=token)

    assert many.transport.reasons == ends


def test_joins_that_begin_in_the_past_count_as_reading_history() -> None:
    """A rate of one a second allows two at once; a join that begins now is not counted."""
    many = Stage(rate_limits=RateLimits(history=1)).open(
        ItemRules(dict.fromkeys("abc", EVERYTHING))
    )
    for item in "abc":
        many.joins(item, replay=1, ref=item)
    many.joins("c", ref="live")

    assert [one["ref"] for one in many.saw("welcome")] == ["a", "b", "live"]
    assert codes(many.saw("error")) == [("c", "rate_limited")]
