"""Lists the connections of all nodes, by id, a page at a time."""

import heapq
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from itemwire.channels.cluster.questions import Questions
from itemwire.channels.connection import Connection
from itemwire.channels.environment import Environment
from itemwire.channels.names import RESERVED
from itemwire.channels.overview import Overview
from itemwire.ops.slices import in_slices

CONNECTIONS: Final = "connections"  # the kind of the question

MOST_CONNECTIONS: Final = 1000  # of one page
MOST_ITEMS: Final = 100  # of one connection that are named
ANSWER_BYTES: Final = 160 * 1024  # of one node's part of a page
ENTRY_BYTES: Final = 400  # of a connection without its subject and items


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection: its caller, its items, and how far its client is behind.

    `since` and `expires_at` are Unix seconds; without the latter, its caller has no expiry. `items`
    names the first hundred. `outbox_bytes` is what waits because the client reads too slowly, and
    `lag` is how many messages those are.
    """

    id: str
    node: str
    subject: str
    issuer: str | None
    items: list[str]
    item_count: int
    since: int
    age: int
    expires_at: int | None
    codec: str
    outbox_bytes: int
    lag: int
    address: str | None


@dataclass(frozen=True, slots=True)
class WantedConnections:
    """What to list: those of a subject, or all; after an id."""

    subject: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_CONNECTIONS)] = 100
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""


@dataclass(frozen=True, slots=True)
class NodeConnections:
    """Connections of one node; `is_cut` says that there are more behind the last one."""

    connections: list[Connected]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class ConnectedPage:
    """Some connections of all nodes; `next` is the `after` of the next page.

    `nodes` answered, and those that are `missing` did not in time.
    """

    connections: list[Connected]
    next: str | None
    nodes: list[str]
    missing: list[str]


class ConnectionList:
    """Lists connections, and answers what other nodes ask for their own lists."""

    def __init__(self, overview: Overview, questions: Questions, environment: Environment) -> None:
        self._overview = overview
        self._questions = questions
        self._environment = environment

    def start(self) -> None:
        """Answer other nodes from now on."""
        self._questions.answer_with(CONNECTIONS, self._answer)

    def here(self, limit: int, after: str) -> list[Connected]:
        """Return connections of this node alone, by id."""
        return [self._describe(one) for one in self._overview.registry.page(limit, after)]

    async def page(self, wanted: WantedConnections) -> ConnectedPage:
        """Return a page of the connections of all nodes, in the order of their ids."""
        found = await self._questions.ask(CONNECTIONS, wanted, NodeConnections)
        pages = [page for page in found.by_node.values() if page.connections]
        # Behind the last one that a node has named, it may have others.
        floor = min((page.connections[-1].id for page in pages if page.is_cut), default=None)
        known = sorted(
            (one for page in pages for one in page.connections if floor is None or one.id <= floor),
            key=lambda one: one.id,
        )
        listed = known[: wanted.limit]
        is_more = len(known) > wanted.limit
        last = listed[-1].id if is_more and listed else floor
        return ConnectedPage(listed, last, list(found.by_node), found.missing)

    async def _answer(self, facts: msgspec.Raw) -> NodeConnections:
        wanted = msgspec.json.decode(facts, type=WantedConnections)
        chosen: list[Connection] = []
        async for part in in_slices(self._overview.registry.all()):
            fitting = (
                one
                for one in part
                if one.id > wanted.after
                and (wanted.subject is None or one.principal.subject == wanted.subject)
            )
            chosen = heapq.nsmallest(
                wanted.limit + 1, [*chosen, *fitting], key=lambda connection: connection.id
            )
        connections: list[Connected] = []
        size = 0
        for one in chosen[: wanted.limit]:
            described = self._describe(one)
            size += ENTRY_BYTES + len(described.subject) * 2 + sum(map(len, described.items))
            if connections and size > ANSWER_BYTES:
                break
            connections.append(described)
        return NodeConnections(connections, is_cut=len(chosen) > len(connections))

    def _describe(self, connection: Connection) -> Connected:
        principal, outbox = connection.principal, connection.outbox
        items = [one.item_id for one in connection.subscriptions.values()]
        items = [one for one in items if not one.startswith(RESERVED)]
        return Connected(
            id=connection.id,
            node=self._overview.node_id,
            subject=principal.subject,
            issuer=principal.issuer,
            items=items[:MOST_ITEMS],
            item_count=len(items),
            since=connection.since,
            age=max(int(self._environment.clock()) - connection.since, 0),
            expires_at=connection.expiry,
            codec=connection.codec.metric_label,
            outbox_bytes=0 if outbox is None else outbox.size,
            lag=0 if outbox is None else outbox.waiting,
            address=self._overview.registry.address_of(connection),
        )
