"""A socket of many items under every order of what its client, others, rules and engine do."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from typing_extensions import override

from itemwire.channels.reauthorization import Denied, Offered, Renewal, Verdict
from itemwire.engines.base import EngineError
from itemwire.messages import Position
from itemwire_auth.principal import Principal
from itemwire_auth.revocation import Revocation
from tests.fakes import EVERYTHING, LIMITS, NOW, ItemRules, LateEngine, Stage, principal

ITEMS: Final = ("a", "b", "c")
STARTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"replay": 2},
    {"replay": 50},
    {"since": "x:0"},
    {"since": "x:0", "replay": 1},
)
WHEN: Final = ("joining", "joined", "replay waits")
ROOM: Final = replace(LIMITS, max_items=2)

SESSIONS_LOG: Final = logging.getLogger("itemwire.channels")

an_item = st.sampled_from(ITEMS)


class OrderedRules(ItemRules):
    """Rules that see to it that a refresh is worked out alone (requirement 69).

    `lost` are the items that the last refresh did not allow, and that were not allowed since.
    """

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(ITEMS, EVERYTHING))
        self.is_slow = True
        self.lost: set[str] = set()

    def allow(self, item_id: str) -> None:
        """Allow an item from now on."""
        self.can[item_id] = EVERYTHING
        self.lost.discard(item_id)

    @override
    def of_item(
        self, principal: Principal, item_id: str, due: float, answer: Callable[[Verdict], None]
    ) -> None:
        assert not (self.waits and self._is_renewing())
        super().of_item(principal, item_id, due, answer)

    @override
    def renew(
        self,
        offered: Offered,
        items: Sequence[str],
        due: float,
        answer: Callable[[Renewal | Denied], None],
    ) -> None:
        def decided(outcome: Renewal | Denied) -> None:
            self.lost = set(ITEMS) - self.can.keys()
            answer(outcome)

        assert not self.waits
        super().renew(offered, items, due, decided)

    def _is_renewing(self) -> bool:
        return self.asked[-1].startswith("renew")


class Socket(RuleBasedStateMachine):
    """One client that joins and leaves, and all that may come in between (requirement 127)."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = LateEngine()
        self.law = OrderedRules()
        self.stage = Stage(self.engine, ROOM)
        self.peer = self.stage.open(self.law)
        self.refs = 0
        self.asked: dict[int, tuple[str, object]] = {}  # kind and item, by ref
        self.wishes: dict[str, str] = {}  # the latest of each item
        self.has_failed = False  # what is asked for may be refused
        self.failures = StringIO()
        self.handler = logging.StreamHandler(self.failures)
        self.handler.addFilter(lambda record: record.exc_info is not None)
        SESSIONS_LOG.addHandler(self.handler)

    @initialize(published=st.lists(an_item, max_size=6))
    def fill(self, published: list[str]) -> None:
        """Give the items a past."""
        for item in published:
            self.publish(item)
        self.engine.settle()

    @rule(item=an_item, start=st.sampled_from(STARTS))
    def join(self, item: str, start: dict[str, Any]) -> None:
        """Ask to join."""
        self._ask("join", item=item, **start)
        self.wishes[item] = "join"

    @rule(item=an_item)
    def leave(self, item: str) -> None:
        """Ask to leave."""
        self._ask("leave", item=item)
        self.wishes[item] = "leave"

    @rule(item=an_item, length=st.integers(2, 6))
    def join_and_leave(self, item: str, length: int) -> None:
        """Ask to join and to leave in turn, all in one burst."""
        for number in range(length):
            if number % 2:
                self.leave(item)
            else:
                self.join(item, {})

    @rule(item=an_item, kind=st.sampled_from(["publish", "history", "members"]))
    def talk(self, item: str, kind: str) -> None:
        """Ask for something else."""
        self._ask(kind, item=item, **({"data": "mine"} if kind == "publish" else {}))

    @rule()
    def refresh(self) -> None:
        """Offer a newer token."""
        self._ask("refresh", token="alice")

    @rule(item=an_item)
    def publish(self, item: str) -> None:
        """Let somebody else publish."""

        def answered(_: Position | EngineError) -> None: ...

        by = principal("bob", int(NOW) + 3600)
        self.stage.node.publish(by, item, '"x"', None, answered)

    @rule(item=an_item)
    def forbid(self, item: str) -> None:
        """Take the right to an item away, from the next question on."""
        self.law.can.pop(item, None)
        self.has_failed = True

    @rule()
    def join_all(self) -> None:
        """Ask for more items than a socket may hear, in one burst."""
        for item in ITEMS:
            self.join(item, {})

    @rule(item=an_item, when=st.sampled_from(WHEN), is_again=st.booleans())
    def lose(self, item: str, when: str, is_again: bool) -> None:
        """Join an item alone, and refresh without the right to it at some point on the way."""
        self.law.allow(item)
        for other in ITEMS:
            self.leave(other)
        if when == "replay waits":
            self.stop_reading()
            self._ask("ping")
        self.join(item, {"replay": 2} if when == "replay waits" else {})
        self._decide_all()
        if when == "joined":
            self._rest()
        self.forbid(item)
        self.refresh()
        self._decide_all()
        if is_again:
            self.allow(item)
            self.join(item, {})

    @rule(item=an_item)
    def allow(self, item: str) -> None:
        """Give the right to an item back."""
        self.law.allow(item)

    @rule(name=st.sampled_from(["subscribe", "read", "publish"]))
    def break_engine(self, name: str) -> None:
        """Have the engine fail at this."""
        self.engine.broken.add(name)
        self.has_failed = True

    @rule()
    def mend_engine(self) -> None:
        """Have the engine work."""
        self.engine.broken.clear()

    @precondition(lambda self: self.law.waits)
    @rule()
    def decide(self) -> None:
        """Answer a question about rights."""
        self.law.say()

    @precondition(lambda self: self.engine.steps)
    @rule(count=st.integers(1, 4))
    def step(self, count: int) -> None:
        """Let the engine go on."""
        self.engine.step(min(count, len(self.engine.steps)))

    @rule()
    def stop_reading(self) -> None:
        """Let the client read one more frame, and then none."""
        self.peer.transport.room = 1

    @rule()
    def read_on(self) -> None:
        """Let the client read everything."""
        self.peer.drains()

    @rule()
    def end_tick(self) -> None:
        """Let the loop tick end."""
        self.stage.settle()

    @rule(how=st.sampled_from(["revoke", "close", *[""] * 20]))
    def end(self, how: str) -> None:
        """Now and then, end the socket."""
        if how == "revoke":
            self.stage.node.revoke(
                Revocation(issuer=None, subject="alice", until=NOW + 3600), lambda _: None
            )
        elif how == "close":
            self.peer.session.closed(1000)

    @invariant()
    def hears_what_it_is_on(self) -> None:
        """Between the welcome and the answer to `leave`, and at no other time."""
        on: set[str] = set()
        for seen in self._seen():
            kind, item = self.asked.get(seen.get("ref", 0), ("", seen.get("item")))
            if seen["type"] == "welcome":
                assert item not in on
                on.add(str(item))
            elif seen["type"] == "ended" or (seen["type"], kind) == ("reply", "leave"):
                on.remove(str(item))
            elif seen["type"] in {"message", "joined", "left", "gap"}:
                assert item in on
        if self.peer.connection.is_open and self.peer.connection.outbox is None:
            live = self.peer.connection.subscriptions.values()
            assert on == {one.item_id for one in live if one.lane is not None}

    @invariant()
    def is_on_what_it_may_be_on(self) -> None:
        """On no item that a refresh took away, and on no more items than a socket may hear."""
        on = {one.item_id for one in self.peer.connection.subscriptions.values()}
        assert not on & self.law.lost
        assert len(on) <= ROOM.max_items

    @invariant()
    def nothing_fails(self) -> None:
        """Whatever the order, it was thought of."""
        assert "internal" not in self.peer.transport.reasons
        assert self.failures.getvalue() == ""

    @invariant()
    def is_answered_at_most_once(self) -> None:
        """No request is answered twice."""
        assert all(count == 1 for count in self._answers().values())

    @override
    def teardown(self) -> None:
        """Come to rest: everything is answered, the last wish holds, and the socket goes on."""
        try:
            self._come_to_rest()
        finally:
            SESSIONS_LOG.removeHandler(self.handler)

    def _come_to_rest(self) -> None:
        self._rest()
        self.nothing_fails()
        if not self.peer.connection.is_open:
            assert not self.peer.connection.subscriptions
            return
        assert self._answers().keys() == set(range(1, self.refs + 1))
        on = {one.item_id for one in self.peer.connection.subscriptions.values()}
        assert not {item for item in on if self.wishes[item] == "leave"}
        was_full = any(one.get("code") == "item_limit" for one in self._seen())
        if not self.has_failed and not was_full:
            assert on == {item for item, wish in self.wishes.items() if wish == "join"}
        self.hears_what_it_is_on()
        self._goes_on()

    def _goes_on(self) -> None:
        """See that every item is heard that it is on, and that it can leave and join."""
        for item in ITEMS:
            self.law.allow(item)
            self.publish(item)
        self._rest()
        self.hears_what_it_is_on()
        self.refresh()
        refreshed = self.refs
        for item in ITEMS:
            self.leave(item)
        self.join(ITEMS[0], STARTS[1])
        self._rest()
        assert self._answers().keys() == set(range(1, self.refs + 1))
        assert [one["type"] for one in self._seen() if one.get("ref") == refreshed] == ["reply"]
        subscriptions = self.peer.connection.subscriptions.values()
        assert [one.item_id for one in subscriptions] == [ITEMS[0]]
        self._ends_for_good()

    def _ends_for_good(self) -> None:
        """See that nothing is joined, and nothing fails, when answers come after the end."""
        self.forbid(ITEMS[1])
        self.join(ITEMS[1], {})
        self.join(ITEMS[2], {})
        self.refresh()
        self.peer.session.closed(1000)
        self._rest()
        assert not self.peer.connection.subscriptions
        self.nothing_fails()

    def _rest(self) -> None:
        self.engine.broken.clear()
        self.peer.drains()
        while self.law.waits or self.engine.steps:
            self.engine.settle()
            if self.law.waits:
                self.law.say()
            self.peer.drains()
        self.stage.settle()

    def _decide_all(self) -> None:
        while self.law.waits:
            self.law.say()

    def _ask(self, kind: str, **fields: object) -> None:
        self.refs += 1
        self.asked[self.refs] = kind, fields.get("item")
        self.peer.session.received(json.dumps({"type": kind, "ref": self.refs, **fields}))

    def _seen(self) -> list[dict[str, Any]]:
        """List what reached the client, and leave what waits for the end of the tick."""
        return [json.loads(frame) for frame in self.peer.transport._frames]

    def _answers(self) -> Counter[int]:
        return Counter(one["ref"] for one in self._seen() if "ref" in one)


TestSocket = Socket.TestCase
TestSocket.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
