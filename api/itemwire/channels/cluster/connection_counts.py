"""How many sockets each caller has on other nodes, so that a limit holds over all."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from itemwire.channels.cluster.gossip import SocketCount, SocketCounts, count_lines
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire_auth.principal import Identity

Counts = dict[Identity, int]

CALLERS_A_BATCH: Final = 10_000  # 20 ms of work: a node that starts is told of every caller
MAX_CALLERS: Final = 1_000_000  # of one node: more sockets than one node can hold


class ConnectionCounts:
    """Adds up the socket counts that the other nodes report.

    A handshake only looks at the sum and asks nobody. So sockets that are opened on several nodes
    within the same moment may be too many. Each node then works out by itself which of them go:
    nodes are ordered by id, and each may keep what those before it leave of the limit.
    """

    def __init__(self, node_id: str, slots: ConnectionSlots) -> None:
        self._id: Final = node_id
        self._slots = slots
        self._limit = slots.limits.per_subject
        self._by_node: dict[str, Counts] = {}
        self._snapshots: dict[str, Counts] = {}  # by node, while it sends its whole state
        self._unreported: dict[Identity, None] = {}  # callers whose count here has changed
        self._suspects: set[Identity] = set()  # callers here that may be over the limit

    @property
    def is_limited(self) -> bool:
        """Return whether there is a limit, without which nothing is counted."""
        return self._limit > 0

    @property
    def has_unreported(self) -> bool:
        """Return whether `pop_lines` left changes for the next batch."""
        return bool(self._unreported)

    def report(self, identity: Identity) -> bool:
        """Report a caller's new count with the next batch; return whether that is urgent.

        It is if the caller is at its limit: a socket of it may wait on another node.
        """
        self._unreported[identity] = None
        return self._total(identity) + 1 >= self._limit

    def report_all(self) -> None:
        """Report the count of every caller with the next batches."""
        self._unreported.update(dict.fromkeys(self._slots.by_subject))

    def pop_lines(self) -> Iterator[SocketCounts]:
        """Return the changed counts of up to `CALLERS_A_BATCH` callers, as lines."""
        here = self._slots.by_subject
        callers = list(islice(self._unreported, CALLERS_A_BATCH))
        for identity in callers:
            del self._unreported[identity]
        return count_lines(SocketCount(*identity, here[identity]) for identity in callers)

    def receive(self, node_id: str, line: SocketCounts) -> bool:
        """Store what another node reports; return False if there was no room for all of it.

        A count past the limit says no more than the limit itself: it is stored as that.
        """
        snapshot = self._snapshots.get(node_id)
        is_stored = True
        for caller in line.callers:
            identity = (caller.issuer, caller.subject)
            sockets = min(caller.sockets, self._limit)
            is_stored &= self._set(node_id, identity, sockets)
            if snapshot is not None and sockets:
                snapshot[identity] = sockets
        return is_stored

    def begin_snapshot(self, node_id: str) -> None:
        """Note that a node is asked for its whole state."""
        self._snapshots[node_id] = {}

    def end_snapshot(self, node_id: str) -> None:
        """Note that a node has sent its whole state: callers that it did not name are gone."""
        snapshot = self._snapshots.pop(node_id, None)
        if snapshot is None:
            return
        for identity in [one for one in self._by_node.get(node_id, ()) if one not in snapshot]:
            self._set(node_id, identity, 0)

    def remove_node(self, node_id: str) -> None:
        """Forget the counts of a node that is gone."""
        self._snapshots.pop(node_id, None)
        for identity in list(self._by_node.get(node_id, ())):
            self._set(node_id, identity, 0)

    def find_excess(self) -> Counts:
        """Return the callers with more sockets here than may stay, and how many may stay."""
        excess: Counts = {}
        for identity in self._suspects:
            allowed = self._allowed_here(identity)
            if self._total(identity) > self._limit and self._slots.by_subject[identity] > allowed:
                excess[identity] = allowed
        self._suspects = set(excess)  # looked at again until their sockets are gone
        return excess

    def _allowed_here(self, identity: Identity) -> int:
        ahead = sum(
            counts.get(identity, 0)
            for node_id, counts in self._by_node.items()
            if node_id < self._id
        )
        return max(self._limit - ahead, 0)

    def _total(self, identity: Identity) -> int:
        return self._slots.by_subject[identity] + self._slots.on_other_nodes[identity]

    def _set(self, node_id: str, identity: Identity, sockets: int) -> bool:
        """Replace a node's count of a caller, and keep the sum over all nodes in step.

        Nothing is kept of a count of 0, neither here nor in the sum.
        """
        counts = self._by_node.get(node_id, {})
        if sockets and identity not in counts and len(counts) >= MAX_CALLERS:
            return False
        on_other_nodes = self._slots.on_other_nodes
        on_other_nodes[identity] += sockets - counts.pop(identity, 0)
        if sockets:
            counts[identity] = sockets
            self._by_node[node_id] = counts
        elif not counts:
            self._by_node.pop(node_id, None)
        if not on_other_nodes[identity]:
            del on_other_nodes[identity]
        if self._slots.by_subject[identity] and self._total(identity) > self._limit:
            self._suspects.add(identity)
        return True
