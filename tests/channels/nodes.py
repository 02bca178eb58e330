"""Several nodes on a bus that loses, delays, reorders and repeats what they tell each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from typing_extensions import override

from itemwire.channels.cluster.first_answers import WAIT_SECONDS
from itemwire.channels.cluster.gossip import (
    Gossip,
    ItemWords,
    Line,
    MemberJoined,
    MemberLeft,
    MembersAsked,
    MembersChanged,
    MembersCounted,
    MembersRange,
    MembersTold,
    ToldLine,
)
from itemwire.channels.cluster.notices import Notice, read_told
from itemwire.channels.limits.bounds import Limits, RateLimits
from itemwire.channels.limits.connections import ConnectionLimits, ConnectionSlot, ConnectionSlots
from itemwire.channels.limits.item_rules import RulesOf, no_rules
from itemwire.channels.presence.presence import Page
from itemwire.engines.base import NO_SINK, Answer, Apply, EngineError, Sink
from itemwire.engines.memory import MemoryEngine
from tests.fakes import BOUNDS, LIMITS, Clock, Peer, Stage, complete

GRACE = 5.0
WITH_GRACE = replace(LIMITS, presence_grace=GRACE)


class Bus:
    """Takes notices to every node, and what is told on a channel to those that hear it.

    Unless it is told to lose them.
    """

    def __init__(self) -> None:
        self.applies: dict[SharedEngine, Apply] = {}
        self.waiting: list[tuple[SharedEngine, str | None, bytes]] = []
        self.sent: list[bytes] = []
        self.told: list[tuple[str, bytes]] = []
        self.heard: list[tuple[SharedEngine, str]] = []  # who heard what was told, and where
        self.lose: Callable[[], bool] = lambda: False

    def post(self, notice: bytes) -> None:
        """Put a notice on its way to each."""
        self.sent.append(notice)
        self.waiting += [(one, None, notice) for one in self.applies if not self.lose()]

    def tell(self, channel: str, words: bytes) -> None:
        """Put words on their way to each that hears a channel."""
        self.told.append((channel, words))
        hearing = [one for one in self.applies if channel in one.hearing]
        self.waiting += [(one, channel, words) for one in hearing if not self.lose()]

    def carry(self) -> None:
        """Let everything arrive that is on its way now."""
        waiting, self.waiting = self.waiting, []
        for engine, channel, data in waiting:
            if engine not in self.applies or engine.is_deaf:
                continue
            if channel is None:
                self.applies[engine](data)
            elif channel in engine.hearing:
                self.heard.append((engine, channel))
                engine.sink.hear(channel, data)


class SharedEngine(MemoryEngine):
    """An engine of one node that shares the bus with those of others."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(BOUNDS, clock=Clock(), unix_clock=Clock())
        self.bus = bus
        self.is_away = False
        self.refusal: EngineError | None = None  # of all that is to be carried
        self.hearing: set[str] = set()
        self.is_deaf = False  # its connection broke, and it does not know yet
        self.sink = NO_SINK

    @property
    @override
    def is_available(self) -> bool:
        return not self.is_away

    @override
    async def start(self, sink: Sink) -> None:
        self.bus.applies[self] = sink.apply
        self.sink = sink
        await super().start(Sink(sink.deliver, lose=sink.lose))

    @override
    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        self.hearing.add(channel)
        super().subscribe(channel, answer)

    @override
    def unsubscribe(self, channel: str) -> None:
        self.hearing.discard(channel)
        super().unsubscribe(channel)

    def hear_again(self) -> None:
        """Have another connection in place of the one that broke, and know what that means."""
        self.is_deaf = False
        for channel in sorted(self.hearing):
            self.sink.miss(channel)

    @override
    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        if self.refusal is None:
            self.bus.tell(channel, words)
        answer(self.refusal)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        if self.refusal is None:
            self.bus.post(notice)
        answer(self.refusal)


class Crowd:
    """Some nodes on one bus, and the peers of each."""

    def __init__(
        self,
        *names: str,
        limits: Limits = LIMITS,
        per_subject: int = 0,
        rules_of: RulesOf = no_rules,
        rate_limits: RateLimits | None = None,
    ) -> None:
        self.bus = Bus()
        self.limits = limits
        self.per_subject = per_subject
        self.rules_of = rules_of
        self.rate_limits = rate_limits
        self.stages: dict[str, Stage] = {}
        self.peers: dict[str, list[Peer]] = {}
        for name in names:
            self.start(name)
        self.settle()

    def start(self, name: str) -> None:
        """Start a node."""
        slots = ConnectionSlots(ConnectionLimits(per_subject=self.per_subject))
        engine = SharedEngine(self.bus)
        self.stages[name] = Stage(
            engine,
            self.limits,
            rate_limits=self.rate_limits,
            shared_as=name,
            slots=slots,
            rules_of=self.rules_of,
        )
        self.peers[name] = []

    def engine(self, name: str) -> SharedEngine:
        """Give the engine of a node."""
        engine = self.stages[name].engine
        assert isinstance(engine, SharedEngine)
        return engine

    def stop(self, name: str) -> None:
        """End a node as a signal does: its sockets are told to go elsewhere, then the others."""
        stage = self.stages[name]
        stage.node.drain(0)
        stage.pass_time(1)
        complete(stage.node.stop())
        self.kill(name)

    def kill(self, name: str) -> None:
        """End a node as `kill -9` does: nobody is told."""
        stage = self.stages.pop(name)
        del self.bus.applies[stage.engine]  # type: ignore[arg-type]
        del self.peers[name]

    def join(self, name: str, item: str = "42", subject: str | None = None) -> Peer:
        """Let somebody join on a node."""
        peer = self.stages[name].join(subject or f"{name}-{len(self.peers[name])}", item=item)
        self.peers[name].append(peer)
        return peer

    def enter(self, name: str, subject: str = "alice") -> Peer | None:
        """Let somebody join who needs a slot, or tell that there is none."""
        slot = self.slots(name).acquire(None)
        assert isinstance(slot, ConnectionSlot)
        if not slot.claim_for((None, subject)):
            slot.release()
            return None
        peer = self.join(name, subject=subject)
        peer.session.slot = slot
        return peer

    def slots(self, name: str) -> ConnectionSlots:
        """Give what counts the sockets of a node."""
        slots = self.stages[name].slots
        assert slots is not None
        return slots

    def inside(self) -> Iterator[Peer]:
        """Find everybody who is connected to any node, and let who was sent away be gone."""
        for peers in self.peers.values():
            for peer in list(peers):
                if peer.connection.is_open:
                    yield peer
                else:
                    self.cut(peer)

    def end(self, peer: Peer) -> None:
        """Let a peer leave for good."""
        self.cut(peer, 1000)

    def cut(self, peer: Peer, code: int = 1006) -> None:
        """Let a peer's socket be gone."""
        for peers in self.peers.values():
            if peer in peers:
                peers.remove(peer)
        peer.session.closed(code)

    def heal(self) -> None:
        """Lose nothing more, and let every node know that it was deaf."""
        self.bus.lose = lambda: False
        for name in self.stages:
            if self.engine(name).is_deaf:
                self.engine(name).hear_again()

    def step(self) -> None:
        """Let each node say what it has to, and everything arrive."""
        for stage in self.stages.values():
            stage.timers.make_soon_calls()
        self.bus.carry()

    def settle(self) -> None:
        """Let it come to rest, as it does within a fraction of a second."""
        while self.bus.waiting or any(stage.timers.waits_soon for stage in self.stages.values()):
            self.step()

    def wait(self) -> None:
        """Let the time go by in which nodes that hear a channel answer."""
        self.settle()
        for stage in self.stages.values():
            stage.pass_time(WAIT_SECONDS)
        self.settle()

    def tick(self, count: int = 1) -> None:
        """Let seconds go by on every node."""
        for _ in range(count):
            for stage in self.stages.values():
                stage.clock.now += 1
                stage.node.tick()
            self.settle()

    def listed(self, name: str, item: str = "42") -> list[str]:
        """List the ids of an item's members as a node has them."""
        return [one.connection for one in self.stages[name].known_members(item, 1000).members]

    def ask(self, name: str, item: str = "42") -> list[Page]:
        """Ask a node for the members of an item; the page is in the list once it has answered."""
        pages: list[Page] = []

        def answer(page: Page | EngineError) -> None:
            assert isinstance(page, Page)
            pages.append(page)

        self.stages[name].node.members(item, answer, limit=1000)
        return pages

    def there(self, item: str = "42") -> list[str]:
        """List the ids of those who are on an item of any node."""
        return sorted(
            peer.session.subscription.member.connection
            for peers in self.peers.values()
            for peer in peers
            if peer.session.subscription.item_id == item
        )


def lines_on(crowd: Crowd, item: str = "42", since: int = 0) -> list[ToldLine]:
    """List what was told on the channel of an item, after so much on all channels."""
    told = [data for channel, data in crowd.bus.told[since:] if channel == f"item:{item}"]
    return [line for data in told for line in read_told(data).lines]


def told(peer: Peer) -> list[str]:
    """Add up what a peer was told: the list of its welcome, and who came and went since."""
    there: set[str] = set()
    for envelope in peer.saw("welcome", "joined", "left"):
        if envelope["type"] == "welcome":
            there = {member["connection"] for member in envelope["members"]}
        elif envelope["type"] == "joined":
            assert envelope["member"]["connection"] not in there
            there.add(envelope["member"]["connection"])
        else:
            there.remove(envelope["member"]["connection"])
    return sorted(there)


def say_as(crowd: Crowd, node: str, number: int, lines: Iterable[Line | ToldLine]) -> None:
    """Let lines reach every node in the name of some node, each on its way.

    What is told on a channel follows the number before this one; the rest is in a notice.
    """
    by_channel: dict[str, list[ToldLine]] = {}
    in_notice: list[Line] = []
    for line in lines:
        if isinstance(line, (MemberJoined, MemberLeft, MembersRange, MembersCounted)):
            by_channel.setdefault(line.channel, []).append(line)
        else:
            assert not isinstance(line, (MembersAsked, MembersChanged, MembersTold))
            in_notice.append(line)
    for channel, told in by_channel.items():
        crowd.bus.tell(channel, ItemWords(node, max(number, 1), max(number - 1, 0), told).encoded())
    if in_notice or not by_channel:
        crowd.bus.post(Notice(node, gossip=Gossip(number, in_notice)).encoded())
    crowd.bus.carry()
