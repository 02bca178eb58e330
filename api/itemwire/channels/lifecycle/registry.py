"""Which connections are on this node."""

import heapq
from collections import Counter
from collections.abc import Mapping

from itemwire.channels.connection import Connection, Subscription
from itemwire.messages import Member
from itemwire_auth.principal import Identity
from itemwire_auth.revocation import Revocation


class ConnectionRegistry:
    """The connections of this node, by id, in the order in which they were opened.

    One dict costs some 30 bytes a connection. A search by token or by subject looks at each of
    them: 1 ms for 10,000, and revocations are rare.
    """

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}
        self._by_caller: dict[Identity, list[Connection]] | None = None  # once it was asked for
        self._addresses: dict[str, str] | None = None  # where operators may look at them

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        """Add a connection that was opened."""
        self._connections[connection.id] = connection
        if self._by_caller is not None:
            self._by_caller.setdefault(connection.principal.identity, []).append(connection)

    def discard(self, connection: Connection) -> None:
        """Remove a connection that ended; do nothing if it is not there."""
        known = self._connections.pop(connection.id, None)
        if self._addresses is not None:
            self._addresses.pop(connection.id, None)
        if self._by_caller is not None and known is not None:
            own = self._by_caller[known.principal.identity]
            own.remove(known)
            if not own:
                del self._by_caller[known.principal.identity]

    def keep_addresses(self) -> None:
        """Keep the addresses of connections from now on, for operators: 0.15 KB each."""
        if self._addresses is None:
            self._addresses = {}

    @property
    def keeps_addresses(self) -> bool:
        """Return whether it is kept from where connections come."""
        return self._addresses is not None

    def note_address(self, connection: Connection, address: str | None) -> None:
        """Note from where a connection came, unless it has ended already."""
        if self._addresses is not None and address and connection.id in self._connections:
            self._addresses[connection.id] = address

    def address_of(self, connection: Connection) -> str | None:
        """Return from where a connection came; None where that is not kept."""
        return None if self._addresses is None else self._addresses.get(connection.id)

    def find(self, connection_id: str) -> Connection | None:
        """Return the connection with this id, if it is here."""
        return self._connections.get(connection_id)

    def all(self) -> list[Connection]:
        """Return all connections."""
        return list(self._connections.values())

    def of_caller(self, identity: Identity) -> list[Connection]:
        """Return the connections of a caller.

        Callers are indexed from the first call on, so a node that is never asked pays nothing.
        """
        if self._by_caller is None:
            self._by_caller = {}
            for connection in self._connections.values():
                self._by_caller.setdefault(connection.principal.identity, []).append(connection)
        return list(self._by_caller.get(identity, ()))

    def covered_by(self, revocation: Revocation) -> list[Connection]:
        """Return the connections whose token a revocation covers."""
        return [one for one in self._connections.values() if revocation.covers(one.principal)]

    def newest_above(self, allowed: Mapping[Identity, int]) -> list[Connection]:
        """Return each given caller's connections past its allowed number: the newest of them."""
        seen: Counter[Identity] = Counter()
        excess: list[Connection] = []
        for connection in self._connections.values():
            identity = connection.principal.identity
            if identity in allowed:
                seen[identity] += 1
                if seen[identity] > allowed[identity]:
                    excess.append(connection)
        return excess

    def find_member(self, channel: str, member: Member) -> Subscription | None:
        """Return the subscription that is on a channel as this member."""
        # Unless it was taken over, a member has the id of its own connection: no need to search.
        own = self._connections.get(member.connection)
        if own is not None and _is_member(own, channel, member):
            return own.subscriptions[channel]
        for connection in self._connections.values():
            if _is_member(connection, channel, member):
                return connection.subscriptions[channel]
        return None

    def page(self, limit: int, after: str = "") -> list[Connection]:
        """Return up to `limit` connections with ids greater than `after`, in the order of ids.

        A connection that stays is on exactly one page, whichever are opened and ended meanwhile.
        """
        ids = heapq.nsmallest(limit, (id_ for id_ in self._connections if id_ > after))
        return [self._connections[id_] for id_ in ids]


def _is_member(connection: Connection, channel: str, member: Member) -> bool:
    subscription = connection.subscriptions.get(channel)
    return subscription is not None and subscription.member.connection == member.connection
