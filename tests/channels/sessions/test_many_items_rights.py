"""Rights on the items of one connection: what a refresh and a grant that does not fit change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from typing_extensions import override

from itemwire.channels.client_options import ClientOptions
from itemwire.channels.limits.bounds import Lifetime, RateLimits
from itemwire.channels.reauthorization import Denied, Offered, Renewal, Verdict
from itemwire.close_reasons import (
    CREDENTIALS_INVALID,
    FORBIDDEN,
    OVERLOADED,
    CloseReason,
    Retry,
)
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action
from tests.channels.sessions.test_many_items import OTHER, READING, codes, join
from tests.fakes import EVERYTHING, ITEM, ItemRules, LateEngine, Stage, principal


@pytest.fixture
def rules() -> ItemRules:
    """Rules by which two items may be joined, and no other."""
    return ItemRules({ITEM: EVERYTHING, OTHER: EVERYTHING})


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
        offered: Offered,
        items: Sequence[str],
        due: float,
        answer: Callable[[Renewal | Denied], None],
    ) -> None:
        answer(Denied(self.reason, principal(str(offered))))


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
    assert many.saw("reply") == []  # it would go on with a token that was refused


def test_a_refused_refresh_has_the_advice_of_who_refused_it(stage: Stage) -> None:
    """An application's own reason is in no table: what to do next is only in the answer."""
    own = CloseReason("badge_lost", 3001, Retry.TOKEN, 401, "Own.")
    hinted, other = (
        stage.open(Denying(own), options=ClientOptions(hints=on)) for on in (True, False)
    )

    assert hinted.says("refresh", token="alice")["retry"] == "token"
    assert "retry" not in other.says("refresh", token="alice")


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_check_of_rights_is_answered_once_whether_its_socket_is_there_or_not(
    stage: Stage, rules: ItemRules, is_gone: bool
) -> None:
    """Only so many run at once: one without an answer would keep its place for ever."""
    many, answers = stage.open(rules), list[bool]()
    rules.is_slow = True
    many.session.received(join(ITEM))
    many.session.recheck(answers.append)
    if is_gone:
        many.connection.end(FORBIDDEN)
    while rules.waits:
        rules.say()

    assert answers == [False]


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
