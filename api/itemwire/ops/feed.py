"""The figures of all nodes, once a second, for the operators that watch them.

    nobody watches     each node keeps its own hour, and sends nothing
    somebody watches   its node says so to the others, and again every few seconds; they send it
                       their figures until it says no more

The watchers are subscriptions of a channel that no item has, so they are written to as all others
are: once encoded, and ended where they read too slowly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

import msgspec

from itemwire.channels.cluster.inquiries import MAX_ANSWER_BYTES
from itemwire.channels.cluster.questions import MAX_NODES, Questions
from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.recovery import Recovery
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.names import OPERATIONS_ITEM, channel_of
from itemwire.channels.node import Node
from itemwire.close_reasons import OVERLOADED
from itemwire.messages import Ephemeral, Position
from itemwire.ops.hour import STEP_SECONDS, Hour
from itemwire.ops.samples import NodeSample, Sample, of_node, total
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action

CHANNEL: Final = channel_of(OPERATIONS_ITEM)

HOUR: Final = "hour"  # the kinds of what nodes ask and tell
SAMPLE: Final = "sample"
WATCHED: Final = "watched"

LEASE_SECONDS: Final = 15.0  # for which a node that watches is sent figures
RENEW_SECONDS: Final = 5.0
FRESH_SECONDS: Final = 3.5  # a node that sent nothing for so long is left out of the figures
MOST_WATCHERS: Final = 100  # of one node
MOST_SAMPLES: Final = 1000  # of an hour
HOUR_BYTES: Final = MAX_ANSWER_BYTES - 1024  # of one node

_CAN: Final = frozenset({Action.SUBSCRIBE, Action.PRESENCE})
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class NodeHour:
    """The hour behind of one node."""

    samples: Annotated[list[Sample], msgspec.Meta(max_length=MOST_SAMPLES)]


class HourBehind(msgspec.Struct, frozen=True, tag="hour"):
    """What a watcher gets first: the samples of each node, the oldest first."""

    step_s: int
    nodes: dict[str, list[Sample]]


class SampleNow(msgspec.Struct, frozen=True, tag="sample"):
    """What a watcher gets each second."""

    at: float
    nodes: list[NodeSample]
    sum: Sample


@dataclass(frozen=True, slots=True)
class Stats:
    """The newest figures of each node, and those of all of them."""

    at: float
    nodes: list[NodeSample]
    sum: Sample
    missing: list[str]


class Feed:
    """Sends the figures of all nodes to those who watch on this one."""

    def __init__(self, node: Node, hour: Hour, clock: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._hub = node.overview.hub
        self._questions: Questions = node.questions
        self._hour = hour
        self._clock = clock
        self._leases: dict[str, float] = {}  # of other nodes that watch: until when
        self._newest: dict[str, tuple[float, Sample]] = {}  # of other nodes, while one watches
        self._renew_at = 0.0
        self._opening: set[asyncio.Task[None]] = set()
        # Operators must see a node that is full.
        self._limits: Limits = replace(node.limits, max_channels=0, max_subscribers=MOST_WATCHERS)

    def start(self) -> None:
        """Answer other nodes from now on."""
        self._questions.answer_with(HOUR, self._answer_hour)
        self._questions.answer_with(SAMPLE, self._answer_sample)
        self._questions.hear_with(SAMPLE, self._take_sample)
        self._questions.hear_with(WATCHED, self._take_lease)

    async def stop(self) -> None:
        """Leave those alone who have only just begun to watch."""
        for task in self._opening:
            task.cancel()
        if self._opening:
            await asyncio.wait(self._opening)

    @property
    def watchers(self) -> int:
        """Return how many watch on this node."""
        return self._hub.reach(CHANNEL).subscriptions

    def begin(self, connection: Connection) -> None:
        """Send a connection the hour behind, as soon as the other nodes have given theirs."""
        if not connection.is_open:
            return
        grant = Grant(connection.principal, OPERATIONS_ITEM, _CAN)
        subscription = Subscription(connection, grant)
        if not self._hub.add(subscription, Recovery(0), self._limits):
            connection.end(OVERLOADED)
            return
        connection.subscriptions[subscription.channel] = subscription
        self._node.counters.subscriptions += 1
        self._renew()
        task = asyncio.get_running_loop().create_task(self._open(subscription))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def publish(self, sample: Sample) -> None:
        """Send the figures of this second to whoever watches, here and on other nodes."""
        now = self._clock()
        for node in [node for node, until in self._leases.items() if until <= now]:
            del self._leases[node]
        if self._leases:
            self._questions.tell(SAMPLE, sample)
        if not self.watchers:
            self._newest.clear()
            return
        if now >= self._renew_at:
            self._renew()
        text = _encode(self._frame(sample, now)).decode()
        event = Ephemeral(OPERATIONS_ITEM, ephemeral=True, sender=None, sent_at=0, data=text)
        self._hub.announce(CHANNEL, event)  # which counts as no delivery

    async def stats(self) -> Stats:
        """Return the newest figures of all nodes, whether somebody watches or not."""
        found = await self._questions.ask(SAMPLE, None, Sample)
        nodes = [of_node(node, sample) for node, sample in found.by_node.items()]
        whole = total(nodes)
        return Stats(whole.at, nodes, whole, found.missing)

    def _frame(self, sample: Sample, now: float) -> SampleNow:
        fresh: Mapping[str, Sample] = {
            node: one for node, (at, one) in self._newest.items() if now - at < FRESH_SECONDS
        }
        nodes = [of_node(self._questions.node_id, sample)]
        nodes += [of_node(node, fresh[node]) for node in sorted(fresh)]
        return SampleNow(sample.at, nodes, total([sample, *fresh.values()]))

    async def _open(self, subscription: Subscription) -> None:
        found = await self._questions.ask(HOUR, None, NodeHour)
        nodes = {node: hour.samples for node, hour in found.by_node.items()}
        if subscription.is_current:
            subscription.connection.push(_encode(HourBehind(STEP_SECONDS, nodes)).decode())
        if subscription.is_current:  # the push may have ended it
            self._hub.go_live(subscription, Position("", 0))

    def _renew(self) -> None:
        self._renew_at = self._clock() + RENEW_SECONDS
        self._questions.tell(WATCHED, LEASE_SECONDS)

    async def _answer_hour(self, _facts: msgspec.Raw) -> NodeHour:
        samples = self._hour.samples()
        while len(_encode(samples)) > HOUR_BYTES:  # as with dozens of reasons each second
            samples = samples[::-2][::-1]  # every other one, the newest among them
        return NodeHour(samples)

    async def _answer_sample(self, _facts: msgspec.Raw) -> Sample:
        return self._hour.newest

    def _take_lease(self, node: str, facts: msgspec.Raw) -> None:
        seconds = msgspec.json.decode(facts, type=float)
        if node in self._leases or len(self._leases) < MAX_NODES:
            self._leases[node] = self._clock() + min(seconds, LEASE_SECONDS)

    def _take_sample(self, node: str, facts: msgspec.Raw) -> None:
        if self.watchers and (node in self._newest or len(self._newest) < MAX_NODES):
            self._newest[node] = self._clock(), msgspec.json.decode(facts, type=Sample)
