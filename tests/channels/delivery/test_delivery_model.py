"""Delivery against a model that is too simple to be wrong: a list of messages an item.

Clients join, leave, resume, break off and come back while messages are published, forgotten by
count and by age, and while the server restarts with or without its store. Each call to the engine
arrives and is answered when the machine says so, so joins and publishes meet in every order.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from itemwire.channels.names import channel_of
from itemwire.engines.base import Bounds, EngineError, Span
from itemwire.engines.memory import MemoryEngine
from itemwire.messages import Draft, Position
from tests.fakes import EVERYTHING, NOW, ItemRules, LateEngine, ManyPeer, Stage

ITEMS = ("a", "b")
KEPT = 6
SECONDS = 50

items = st.sampled_from(ITEMS)
clients = st.integers(0, 1)


class Log:
    """What one client was told of one item, checked as it comes."""

    def __init__(self) -> None:
        self.position: Position | None = None
        self.is_heard = False

    def welcomed(self, welcome: dict[str, Any], since: Position | None) -> None:
        """Begin, after the position asked for if all after it is promised."""
        self.is_heard = True
        assert welcome["was_recovering"] == (since is not None)
        if welcome["recovered"]:
            assert since is not None
            assert since.epoch == welcome["epoch"]
            self.position = since
        else:
            self.position = Position(welcome["epoch"], welcome["offset"])

    def heard(self, message: dict[str, Any], stream: list[str]) -> None:
        """Take the next message: no hole, no repeat, nothing that was not published."""
        assert self.is_heard
        assert self.position is not None
        assert message["offset"] == self.position.offset + 1
        assert message["data"] == stream[message["offset"] - 1]
        self.position = Position(self.position.epoch, message["offset"])


class Client:
    """A client, its socket of the moment, and what it has seen."""

    def __init__(self) -> None:
        self.peer: ManyPeer | None = None
        self.read = 0
        self.logs = {item: Log() for item in ITEMS}
        self.asked: dict[int, tuple[str, Position | None]] = {}


class Delivery(RuleBasedStateMachine):
    """The server, its clients, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = LateEngine()
        self.stage = Stage(self.engine)
        self.clients = [Client() for _ in range(2)]
        self.streams: dict[tuple[str, str], list[str]] = {}
        self.epochs: dict[str, str] = {}
        self.published = 0
        self.ref = 0
        self.fresh_store()

    def fresh_store(self) -> None:
        """Lose what was stored: every item begins another epoch."""
        bounds = Bounds(KEPT, 10_000, SECONDS)
        clock = self.stage.clock
        self.engine.inner = MemoryEngine(bounds, clock=clock, unix_clock=clock)
        self.engine.steps.clear()
        self.stage = Stage(self.engine)
        self.stage.clock.now = clock.now
        self.engine.inner._clock = self.stage.clock
        self.engine.heard.clear()
        self.keep_epochs()
        for item in ITEMS:
            told: list[Any] = []
            self.stage.node.history(item, Span(0), told.append)
            self.engine.settle()
            self.epochs[item] = told[0].position.epoch
            self.streams[item, self.epochs[item]] = []

    def keep_epochs(self) -> None:
        """Hear all items: one that nobody hears is forgotten while it is idle, epoch and all."""
        for item in ITEMS:
            self.engine.inner.subscribe(channel_of(item), lambda _: None)

    @rule(client=clients, item=items, resumes=st.sampled_from([True, True, False]))
    def joins(self, client: int, item: str, resumes: bool) -> None:
        """Join from now on, or from where it was; come, or come back, if need be."""
        one = self.clients[client]
        if one.peer is None:
            one.peer = self.stage.open(ItemRules(dict.fromkeys(ITEMS, EVERYTHING)))
            one.read = 0
        since = one.logs[item].position if resumes else None
        self.ref += 1
        one.asked[self.ref] = (item, since)
        more = {} if since is None else {"since": str(since)}
        self.says(one.peer, {"type": "join", "item": item, "ref": self.ref, **more})

    @rule(client=clients, item=items)
    def leaves(self, client: int, item: str) -> None:
        """Leave an item, joined or not."""
        one = self.clients[client]
        if one.peer is not None:
            self.ref += 1
            one.asked[self.ref] = (item, None)
            self.says(one.peer, {"type": "leave", "item": item, "ref": self.ref})

    @rule(client=clients)
    def breaks_off(self, client: int) -> None:
        """Be gone, whatever is on its way."""
        one = self.clients[client]
        if one.peer is not None:
            self.look(one)
            one.peer.session.closed(1006)
            self.forget_socket(one)

    @rule(item=items, count=st.integers(1, KEPT + 2))
    def publishes(self, item: str, count: int) -> None:
        """Publish from another node: it is stored at once, and delivered here."""
        for _ in range(count):
            self.published += 1
            data = f"m{self.published}"
            self.streams[item, self.epochs[item]].append(data)
            draft = Draft(item, "bob", NOW, data)
            self.engine.inner.publish(channel_of(item), draft, self.stored)

    @rule(
        client=clients,
        item=items,
        published=st.lists(st.integers(0, 2), min_size=5, max_size=5),
        leaves_after=st.integers(0, 12),
    )
    def publishes_amid_a_join(
        self, client: int, item: str, published: list[int], leaves_after: int
    ) -> None:
        """Publish between any two steps of a join, and perhaps leave and join again amid it."""
        self.joins(client, item, resumes=True)
        for step, count in enumerate(published):
            if count:
                self.publishes(item, count)
            if step == leaves_after:
                self.breaks_off(client)
                self.joins(client, item, resumes=True)
            if self.engine.steps:
                self.engine.step()

    @rule(count=st.integers(1, 5))
    def time_passes_at_the_engine(self, count: int) -> None:
        """Let so many calls arrive or be answered."""
        for _ in range(min(count, len(self.engine.steps))):
            self.engine.step()

    @rule(seconds=st.sampled_from([1, SECONDS // 2, SECONDS + 1]))
    def time_passes(self, seconds: int) -> None:
        """Let messages age."""
        self.keep_epochs()
        self.stage.clock.now += seconds

    @rule()
    def all_is_answered(self) -> None:
        """Reach quiet: subscribers have all messages, and resumes were answered truthfully."""
        self.engine.settle()
        for one in self.clients:
            self.look(one)
            for item, log in one.logs.items():
                if log.is_heard:
                    assert log.position is not None
                    assert log.position.epoch == self.epochs[item]
                    assert log.position.offset == len(self.streams[item, self.epochs[item]])

    @rule(client=clients, item=items)
    def resumes_at_rest(self, client: int, item: str) -> None:
        """Nothing that is kept is refused: a false alarm makes every client load anew."""
        one = self.clients[client]
        self.breaks_off(client)
        self.engine.settle()
        log = one.logs[item]
        if log.position is None:
            return
        missed = len(self.streams[item, self.epochs[item]]) - log.position.offset
        must = log.position.epoch == self.epochs[item] and self.is_kept(item, missed)
        before = log.position
        self.joins(client, item, resumes=True)
        self.engine.settle()
        assert one.peer is not None
        welcome = one.peer.saw("welcome")[-1]
        self.look(one)

        assert welcome["recovered"] == must
        if must:
            assert log.position == Position(before.epoch, before.offset + missed)

    @rule(keeps_store=st.booleans())
    def restarts(self, keeps_store: bool) -> None:
        """Begin anew: no socket survives it, and the store does or does not."""
        for one in self.clients:
            self.look(one)
            self.forget_socket(one)
        if keeps_store:
            self.engine.steps.clear()
            clock = self.stage.clock
            self.stage = Stage(self.engine)
            self.stage.clock.now = clock.now
            self.engine.inner._clock = self.stage.clock
        else:
            self.fresh_store()

    @invariant()
    def every_log_is_sound(self) -> None:
        """No hole, no repeat, no other order, nothing out of nowhere: at any moment."""
        for one in self.clients:
            self.look(one)

    def is_kept(self, item: str, missed: int) -> bool:
        """Ask the store itself how far back it goes."""
        told: list[Any] = []
        self.engine.inner.read(channel_of(item), Span(1000), told.append)
        return len(told[0].publications) >= missed

    def says(self, peer: ManyPeer, envelope: dict[str, Any]) -> None:
        """Send without waiting for anything."""
        peer.session.received(msgspec.json.encode(envelope).decode())

    def look(self, one: Client) -> None:
        """Read on in what a client has been sent."""
        if one.peer is None:
            return
        news = one.peer.sees[one.read :]
        one.read += len(news)
        for envelope in news:
            self.take(one, envelope)

    def take(self, one: Client, envelope: dict[str, Any]) -> None:
        """Check one envelope against the model."""
        kind = envelope["type"]
        if kind == "welcome":
            item, since = one.asked[envelope["ref"]]
            assert envelope["item"] == item
            one.logs[item].welcomed(envelope, since)
        elif kind == "message":
            item = envelope["item"]
            log = one.logs[item]
            assert log.position is not None
            log.heard(envelope, self.streams[item, log.position.epoch])
        elif kind == "reply":
            one.logs[one.asked[envelope["ref"]][0]].is_heard = False
        else:
            assert kind in ("joined", "left") or envelope["code"] in (
                "already_joined",
                "not_joined",
                "overloaded",
            )

    def forget_socket(self, one: Client) -> None:
        """Keep what it has seen, as a client's program does."""
        one.peer = None
        for log in one.logs.values():
            log.is_heard = False

    def stored(self, answer: Position | EngineError) -> None:
        """See that everything is taken."""
        assert isinstance(answer, Position)


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
