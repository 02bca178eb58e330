"""Members of several nodes, over a bus that loses, delays, reorders and repeats notices."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import pytest
from typing_extensions import override

from api.channels.neighbour import DEAD_TICKS
from api.channels.notices import read_notice
from api.channels.tidings import NOTICE_BYTES
from api.engines.base import Answer, Deliver, Heed, Lose, unheeded, unmissed
from api.engines.memory import MemoryEngine
from tests.fakes import BOUNDS, Clock, Peer, Stage

QUIET_TICKS: Final = 2 * DEAD_TICKS


class Bus:
    """Takes the notices of every node to every node, unless it is told to lose them."""

    def __init__(self) -> None:
        self.heeds: dict[SharedEngine, Heed] = {}
        self.waiting: list[tuple[SharedEngine, bytes]] = []
        self.sent: list[bytes] = []
        self.lose: Callable[[], bool] = lambda: False

    def post(self, notice: bytes) -> None:
        """Put a notice on its way to each."""
        self.sent.append(notice)
        self.waiting += [(one, notice) for one in self.heeds if not self.lose()]

    def carry(self) -> None:
        """Let everything arrive that is on its way now."""
        waiting, self.waiting = self.waiting, []
        for engine, notice in waiting:
            if engine in self.heeds:
                self.heeds[engine](notice)


class SharedEngine(MemoryEngine):
    """An engine of one node whose notices go over the bus."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(BOUNDS, clock=Clock(), unix_clock=Clock())
        self.bus = bus

    @override
    async def start(self, deliver: Deliver, heed: Heed = unheeded, lose: Lose = unmissed) -> None:
        self.bus.heeds[self] = heed
        await super().start(deliver, unheeded, lose)

    @override
    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        self.bus.post(notice)
        answer(None)


class Crowd:
    """Some nodes on one bus, and the peers of each."""

    def __init__(self, *names: str) -> None:
        self.bus = Bus()
        self.stages: dict[str, Stage] = {}
        self.peers: dict[str, list[Peer]] = {}
        for name in names:
            self.start(name)
        self.settle()

    def start(self, name: str) -> None:
        """Start a node."""
        self.stages[name] = Stage(SharedEngine(self.bus), shared_as=name)
        self.peers[name] = []

    def kill(self, name: str) -> None:
        """End a node as `kill -9` does: nobody is told."""
        stage = self.stages.pop(name)
        del self.bus.heeds[stage.engine]  # type: ignore[arg-type]
        del self.peers[name]

    def join(self, name: str, item: str = "42") -> Peer:
        """Let somebody join on a node."""
        peer = self.stages[name].join(f"{name}-{len(self.peers[name])}", item=item)
        self.peers[name].append(peer)
        return peer

    def end(self, name: str, peer: Peer) -> None:
        """Let a peer of a node leave for good."""
        self.peers[name].remove(peer)
        peer.session.closed(1000)

    def step(self) -> None:
        """Let each node say what it has to, and everything arrive."""
        for stage in self.stages.values():
            stage.do_what_waits()
        self.bus.carry()

    def settle(self) -> None:
        """Let it come to rest, as it does within a fraction of a second."""
        while self.bus.waiting or any(stage.waits for stage in self.stages.values()):
            self.step()

    def tick(self, count: int = 1) -> None:
        """Let seconds go by on every node."""
        for _ in range(count):
            for stage in self.stages.values():
                stage.clock.now += 1
                stage.node.tick()
            self.settle()

    def listed(self, name: str, item: str = "42") -> list[str]:
        """List the ids of an item's members as a node has them."""
        return [one.connection for one in self.stages[name].node.members(item, 1000).members]

    def there(self, item: str = "42") -> list[str]:
        """List the ids of those who are on an item of any node."""
        return sorted(
            peer.saw("welcome")[0]["connection"]
            for peers in self.peers.values()
            for peer in peers
            if peer.saw("welcome")[0]["item"] == item
        )


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


def test_who_comes_and_goes_on_one_node_is_told_on_the_other() -> None:
    """`joined` and `left` reach every watcher, on whichever node."""
    crowd = Crowd("a", "b")
    alice, bob = crowd.join("a"), crowd.join("b")
    crowd.settle()
    assert told(alice) == told(bob) == ["a1", "b1"]

    crowd.end("b", bob)
    crowd.settle()

    assert [one["member"]["connection"] for one in alice.saw("left")] == ["b1"]
    assert crowd.listed("a") == ["a1"]


def test_a_channel_that_is_first_heard_here_is_asked_for() -> None:
    """Its members came before anybody here was interested; now they are told as `joined`."""
    crowd = Crowd("a", "b")
    for _ in range(300):
        crowd.join("a")
    crowd.settle()

    bob = crowd.join("b")
    crowd.settle()

    assert told(bob) == crowd.there() == crowd.listed("b")
    assert max(len(notice) for notice in crowd.bus.sent) < 2 * NOTICE_BYTES


def test_members_of_a_channel_that_nobody_hears_here_are_not_kept() -> None:
    """Memory goes with what is heard on the node, not with all there is."""
    crowd = Crowd("a", "b")
    crowd.join("a")
    bob = crowd.join("b", "7")
    crowd.settle()
    assert crowd.listed("b") == []

    other = crowd.join("b")
    crowd.settle()
    assert crowd.listed("b") == ["a1", "b2"]
    crowd.end("b", other)
    crowd.settle()

    assert crowd.listed("b") == []
    assert told(bob) == ["b1"]


@pytest.mark.parametrize("ticks", [DEAD_TICKS - 1, DEAD_TICKS + 1])
def test_the_members_of_a_node_that_is_silent_leave(ticks: int) -> None:
    """Requirement 115: not before three signs of life are missing, and soon after that."""
    crowd = Crowd("a", "b")
    alice = crowd.join("a")
    crowd.join("b")
    crowd.settle()

    crowd.kill("b")
    crowd.tick(ticks)

    assert (told(alice) == ["a1"]) == (ticks > DEAD_TICKS)


def test_a_node_that_was_paused_comes_back_without_duplicates() -> None:
    """Requirement 115: it is the same node, with the members it had."""
    crowd = Crowd("a", "b")
    alice = crowd.join("a")
    crowd.join("b")
    crowd.settle()
    paused = crowd.stages.pop("b")
    crowd.tick(DEAD_TICKS + 1)
    assert told(alice) == ["a1"]

    crowd.stages["b"] = paused
    crowd.tick(QUIET_TICKS)

    assert told(alice) == crowd.listed("b") == ["a1", "b1"]


def test_clocks_that_differ_change_nothing() -> None:
    """Requirement 116: seconds without a sign are counted by who waits, by nobody's clock."""
    crowd = Crowd("a", "b")
    crowd.stages["b"].clock.now += 500
    alice = crowd.join("a")
    crowd.join("b")

    crowd.tick(QUIET_TICKS)

    assert told(alice) == crowd.listed("b") == ["a1", "b1"]
    assert not alice.saw("left")


def test_a_node_alone_on_its_engine_says_nothing() -> None:
    """With memory and SQLite there is no other node, and nothing to pay for."""
    bus = Bus()
    stage = Stage(SharedEngine(bus))

    stage.join()
    stage.node.tick()

    assert bus.sent == []
    assert not stage.waits


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_all_agree_in_the_end(seed: int) -> None:
    """After joins, ends, lost and mixed notices, deaths and restarts, once it is quiet."""
    chance = random.Random(seed)  # noqa: S311 - it decides what happens, and keeps no secret
    crowd = Crowd("a", "b", "c")
    loss = chance.choice([0.0, 0.1, 0.5, 1.0])
    crowd.bus.lose = lambda: chance.random() < loss
    for number in range(80):
        _happen(crowd, chance, number)
    crowd.bus.lose = lambda: False

    crowd.tick(QUIET_TICKS)

    for name, peers in crowd.peers.items():
        for item in {peer.saw("welcome")[0]["item"] for peer in peers}:
            assert crowd.listed(name, item) == crowd.there(item)
        for peer in peers:
            assert told(peer) == crowd.there(peer.saw("welcome")[0]["item"])


def _happen(crowd: Crowd, chance: random.Random, number: int) -> None:
    """Let one thing happen on one of the nodes."""
    name = chance.choice(sorted(crowd.stages))
    what = chance.choice(["join", "join", "end", "step", "mix", "tick", "kill"])
    if what == "join":
        crowd.join(name, chance.choice(["42", "7"]))
    elif what == "end" and crowd.peers[name]:
        crowd.end(name, chance.choice(crowd.peers[name]))
    elif what == "step":
        crowd.step()
    elif what == "mix":
        crowd.bus.waiting += crowd.bus.waiting[:3]  # an engine may say it twice
        chance.shuffle(crowd.bus.waiting)
    elif what == "tick":
        crowd.stages[name].node.tick()
    elif what == "kill" and chance.random() < 0.3:
        crowd.kill(name)
        crowd.start(f"n{number}-")


def test_every_notice_of_members_is_within_its_size() -> None:
    """However long the names are: a line that is nearly a notice goes alone."""
    crowd = Crowd("a", "b")
    for _ in range(200):
        crowd.join("a", "i" * 100)
    crowd.join("b", "i" * 100)
    crowd.settle()

    assert all(read_notice(notice).tidings is not None for notice in crowd.bus.sent)
    assert max(len(notice) for notice in crowd.bus.sent) <= 32 * 1024
