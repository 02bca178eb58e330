"""A node without sockets, and the peers that talk to each other through it."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

import msgspec

from itemwire.channels.client_options import NO_OPTIONS, ClientOptions
from itemwire.channels.connection import Connection
from itemwire.channels.delivery.recovery import LIVE, StartPoint
from itemwire.channels.environment import Environment
from itemwire.channels.join import FIRST_PAGE
from itemwire.channels.limits.bounds import (
    BY_TOKEN,
    Lifetime,
    Limits,
    NodeOptions,
    RateLimits,
)
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.limits.item_rules import RulesOf, no_rules
from itemwire.channels.limits.requests import RequestRates
from itemwire.channels.names import channel_of
from itemwire.channels.node import Node
from itemwire.channels.presence.presence import Page
from itemwire.channels.reauthorization import Reauthorize
from itemwire.channels.sessions.item import ItemSession
from itemwire.channels.sessions.many_items import ManyItemsSession
from itemwire.channels.sessions.session import ChannelSession
from itemwire.engines.base import Engine
from itemwire.engines.memory import MemoryEngine
from itemwire.wire.base import Codec
from itemwire_auth.principal import Grant
from itemwire_auth.revocation import Revocations
from itemwire_auth.scopes import Action
from tests.fakes.rules import ItemRules
from tests.fakes.timers import ManualTimers
from tests.fakes.transport import RecordingTransport
from tests.fakes.values import BOUNDS, EVERYTHING, ITEM, JSON, LIMITS, Clock, principal

C = TypeVar("C", bound=ChannelSession[Any])


def known_members(node: Node, item: str = ITEM, limit: int = FIRST_PAGE) -> Page:
    """List the members of an item that a node knows, without asking the others."""
    return node._presence.page(channel_of(item), limit)


class Talker(Generic[C]):
    """One client, without the socket between it and its session."""

    def __init__(self, session: C, transport: RecordingTransport) -> None:
        self.session = session
        self.transport = transport

    @property
    def connection(self) -> Connection:
        """Give the connection that the session conducts."""
        return self.session.connection

    @property
    def sees(self) -> list[dict[str, Any]]:
        """List the envelopes that reached it."""
        return [msgspec.json.decode(frame) for frame in self.transport.frames]

    def saw(self, *kinds: str) -> list[dict[str, Any]]:
        """List the envelopes of these types that reached it."""
        return [envelope for envelope in self.sees if envelope["type"] in kinds]

    def says(self, kind: str, **fields: object) -> dict[str, Any]:
        """Send an envelope, and give what reached it last."""
        self.session.received(msgspec.json.encode({"type": kind, **fields}).decode())
        return self.sees[-1]

    def drains(self) -> None:
        """Read everything, and go on reading."""
        self.transport.room = None
        self.session.writable()


class Peer(Talker[ItemSession]):
    """A client of one item."""


class ManyPeer(Talker[ManyItemsSession]):
    """A client of many items."""

    def joins(self, item: str = ITEM, **fields: object) -> dict[str, Any]:
        """Join an item, and give what reached it last."""
        return self.says("join", item=item, **fields)


class Stage:
    """A started node with its clock held still, and a way for peers to join an item."""

    def __init__(
        self,
        engine: Engine | None = None,
        limits: Limits = LIMITS,
        leeway: float = 0,
        lifetime: Lifetime = BY_TOKEN,
        rate_limits: RateLimits | None = None,
        *,
        shared_as: str | None = None,
        slots: ConnectionSlots | None = None,
        timers: ManualTimers | None = None,
        rules_of: RulesOf = no_rules,
    ) -> None:
        self.timers = timers or ManualTimers(Clock())
        self.clock = self.timers.clock
        self.engine = engine or MemoryEngine(BOUNDS, clock=self.clock, unix_clock=self.clock)
        self.revocations = Revocations(clock=self.clock)
        self.slots = slots
        ids = iter(range(1, 1_000_000))
        self.node = Node(
            self.engine,
            limits,
            NodeOptions(lifetime, leeway),
            environment=Environment(
                clock=self.clock,
                random=lambda: 0.5,
                new_id=lambda: f"{shared_as or 'c'}{next(ids)}",
                timers=self.timers,
            ),
            revocations=self.revocations,
            rates=RequestRates(rate_limits, self.clock) if rate_limits else None,
            shared_slots=None if shared_as is None else slots or ConnectionSlots(),
            rules_of=rules_of,
        )
        complete(self.node.start())

    @property
    def waits(self) -> bool:
        """Tell whether something is to be done later."""
        return self.timers.waits

    def do_what_waits(self) -> None:
        """Do what is to be done later, all of it, without a look at the time."""
        self.timers.make_later_calls()

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and call what is due on the way, in its order."""
        self.timers.pass_time(seconds)

    def settle(self) -> None:
        """Let the loop tick end."""
        self.timers.settle()

    def known_members(self, item: str = ITEM, limit: int = FIRST_PAGE) -> Page:
        """List the members of an item, as far as this node knows them."""
        return known_members(self.node, item, limit)

    def connect(
        self,
        subject: str = "alice",
        codec: Codec = JSON,
        room: int | None = None,
        life: int = 3600,
        options: ClientOptions = NO_OPTIONS,
    ) -> tuple[Connection, RecordingTransport]:
        """Take in a socket that joins nothing yet."""
        transport = RecordingTransport(room, self.settle)
        caller = principal(subject, int(self.clock.now) + life)
        transport.connection = self.node.connect(caller, codec, transport, options)
        return transport.connection, transport

    def join(
        self,
        subject: str = "alice",
        *,
        item: str = ITEM,
        can: frozenset[Action] = EVERYTHING,
        codec: Codec = JSON,
        room: int | None = None,
        start: StartPoint = LIVE,
        life: int = 3600,
        reauthorize: Reauthorize | None = None,
        options: ClientOptions = NO_OPTIONS,
    ) -> Peer:
        """Join an item as someone who may do this there."""
        connection, transport = self.connect(subject, codec, room, life, options)
        grant = Grant(connection.principal, item, can)
        session = ItemSession(self.node, connection, grant, start, reauthorize)
        session.opened()
        return Peer(session, transport)

    def open(
        self,
        rules: ItemRules,
        subject: str = "alice",
        *,
        room: int | None = None,
        life: int = 3600,
        options: ClientOptions = NO_OPTIONS,
        codec: Codec = JSON,
    ) -> ManyPeer:
        """Open a socket for many items as someone of whom these rules say what is allowed."""
        connection, transport = self.connect(subject, codec, room, life, options)
        session = ManyItemsSession(self.node, connection, rules)
        session.opened()
        return ManyPeer(session, transport)


def complete(steps: Coroutine[object, None, None]) -> None:
    """Run a coroutine that has nothing to wait for, in a loop or without one."""
    with contextlib.suppress(StopIteration):
        steps.send(None)
        raise AssertionError("it waited")
