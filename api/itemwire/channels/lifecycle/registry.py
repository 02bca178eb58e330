"""Who is connected to this node."""

import heapq
from collections import Counter
from collections.abc import Mapping

from itemwire.channels.connection import Connection, Subscription
from itemwire.messages import Member
from itemwire_auth.principal import Identity
from itemwire_auth.revocation import Revocation


class ConnectionRegistry:
    """The connections of this node, by id.

    One dict costs a connection some 30 bytes. By token and by subject they are looked through:
    that takes 1 ms for 10,000, and a revocation is a rare thing.
    """

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        """Note that a connection came."""
        self._connections[connection.id] = connection

    def discard(self, connection: Connection) -> None:
        """Note that a connection went."""
        self._connections.pop(connection.id, None)

    def find(self, connection_id: str) -> Connection | None:
        """Find a connection by its id."""
        return self._connections.get(connection_id)

    def all(self) -> list[Connection]:
        """List all connections, in no order."""
        return list(self._connections.values())

    def covered_by(self, revocation: Revocation) -> list[Connection]:
        """Find the connections whose token a revocation takes back."""
        return [one for one in self._connections.values() if revocation.covers(one.principal)]

    def beyond(self, shares: Mapping[Identity, int]) -> list[Connection]:
        """Find those that are more than their callers may have here, the latest of each."""
        seen: Counter[Identity] = Counter()
        over = []
        for connection in self._connections.values():
            identity = connection.principal.identity
            if identity in shares:
                seen[identity] += 1
                if seen[identity] > shares[identity]:
                    over.append(connection)
        return over

    def find_member(self, channel: str, member: Member) -> Subscription | None:
        """Find the subscription that is a member of a channel; it may have taken it over."""
        for connection in self._connections.values():
            subscription = connection.subscriptions.get(channel)
            if subscription is not None and subscription.member == member:
                return subscription
        return None

    def page(self, limit: int, after: str = "") -> list[Connection]:
        """List so many connections in the order of their ids, those with a greater one.

        Whatever comes and goes meanwhile, who stays is on exactly one page.
        """
        ids = heapq.nsmallest(limit, (id_ for id_ in self._connections if id_ > after))
        return [self._connections[id_] for id_ in ids]
