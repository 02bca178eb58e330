"""How many sockets each caller has on other nodes, so that a limit holds over all of them."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from itemwire.channels.cluster.gossip import SocketCount, SocketCounts, holds_of
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire_auth.principal import Identity

Counts = dict[Identity, int]

CALLERS_AT_ONCE: Final = 10_000  # 20 ms: a node that starts is told of every caller there is


class ConnectionCounts:
    """Adds up what the nodes tell of the sockets of their callers.

    A handshake looks at a sum, and asks nobody. So sockets that are opened on several nodes within
    the same moment may be too many. Then every node knows, by the order of the nodes' ids, how
    many each may keep: as many as those ahead of it leave.
    """

    def __init__(self, node_id: str, slots: ConnectionSlots) -> None:
        self._id: Final = node_id
        self._slots = slots
        self._limit = slots.limits.per_subject
        self._of_node: dict[str, Counts] = {}
        self._of_answer: dict[str, Counts] = {}  # of nodes that are about to say all they have
        self._unsaid: dict[Identity, None] = {}
        self._crowded: set[Identity] = set()  # those who may have too many

    @property
    def is_limited(self) -> bool:
        """Tell whether there is anything to count."""
        return self._limit > 0

    def note(self, identity: Identity) -> bool:
        """Note that a caller has another number here; True: others may be waiting to hear it."""
        self._unsaid[identity] = None
        return self._total(identity) + 1 >= self._limit

    @property
    def has_more(self) -> bool:
        """Tell whether there is more to be said than was said at once."""
        return bool(self._unsaid)

    def lines(self) -> Iterator[SocketCounts]:
        """Say what has changed here since it was said last, of so many callers."""
        here = self._slots.by_subject
        unsaid = list(islice(self._unsaid, CALLERS_AT_ONCE))
        for identity in unsaid:
            del self._unsaid[identity]
        return holds_of(SocketCount(*identity, here[identity]) for identity in unsaid)

    def say_all(self) -> None:
        """Say the number of every caller with the next lines."""
        self._unsaid.update(dict.fromkeys(self._slots.by_subject))

    def receive(self, node_id: str, line: SocketCounts) -> None:
        """Take in what another node says."""
        answer = self._of_answer.get(node_id)
        for held in line.callers:
            identity = (held.issuer, held.subject)
            self._count(node_id, identity, held.sockets)
            if answer is not None:
                answer[identity] = held.sockets

    def ask(self, node_id: str) -> None:
        """Note that a node was asked to say all it has."""
        self._of_answer[node_id] = {}

    def settle(self, node_id: str) -> None:
        """Note that it has said so: what it did not name, it has no longer."""
        answer = self._of_answer.pop(node_id, None)
        if answer is None:
            return
        for identity in [one for one in self._of_node.get(node_id, ()) if one not in answer]:
            self._count(node_id, identity, 0)

    def forget(self, node_id: str) -> None:
        """Count nothing any longer of a node that is gone."""
        self._of_answer.pop(node_id, None)
        for identity in list(self._of_node.get(node_id, ())):
            self._count(node_id, identity, 0)

    def over(self) -> Counts:
        """Tell who has more sockets here than may stay here, and how many may."""
        over: Counts = {}
        for identity in self._crowded:
            share = self._share_of(identity)
            if self._total(identity) > self._limit and self._slots.by_subject[identity] > share:
                over[identity] = share
        self._crowded = set(over)  # until they are gone
        return over

    def _share_of(self, identity: Identity) -> int:
        ahead = sum(
            counts.get(identity, 0)
            for node_id, counts in self._of_node.items()
            if node_id < self._id
        )
        return max(self._limit - ahead, 0)

    def _total(self, identity: Identity) -> int:
        return self._slots.by_subject[identity] + self._slots.on_other_nodes[identity]

    def _count(self, node_id: str, identity: Identity, sockets: int) -> None:
        counts = self._of_node.setdefault(node_id, {})
        elsewhere = self._slots.on_other_nodes
        elsewhere[identity] += sockets - counts.pop(identity, 0)
        if sockets:
            counts[identity] = sockets
        if not elsewhere[identity]:
            del elsewhere[identity]
        if not counts:
            del self._of_node[node_id]
        if self._slots.by_subject[identity] and self._total(identity) > self._limit:
            self._crowded.add(identity)
