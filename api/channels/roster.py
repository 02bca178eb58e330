"""Who is connected to this node."""

import heapq

from api.channels.connection import Connection
from auth.revocation import Revocation


class Roster:
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

    def everybody(self) -> list[Connection]:
        """List all connections, in no order."""
        return list(self._connections.values())

    def covered_by(self, revocation: Revocation) -> list[Connection]:
        """Find the connections whose token a revocation takes back."""
        return [one for one in self._connections.values() if revocation.covers(one.principal)]

    def page(self, limit: int, after: str = "") -> list[Connection]:
        """List so many connections in the order of their ids, those with a greater one.

        Whatever comes and goes meanwhile, who stays is on exactly one page.
        """
        ids = heapq.nsmallest(limit, (id_ for id_ in self._connections if id_ > after))
        return [self._connections[id_] for id_ in ids]
