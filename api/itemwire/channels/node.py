"""One server process: its connections, its subscriptions, and the engine they share."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Final

from msgspec import UNSET, UnsetType

from itemwire.channels.cluster.cluster import Cluster
from itemwire.channels.cluster.control import Control
from itemwire.channels.cluster.exchange import Exchange, NoExchange, SharedExchange
from itemwire.channels.connection import ENDED, Connection, Subscription
from itemwire.channels.connection_log import ConnectionLog
from itemwire.channels.delivery.in_flight import InFlight, TooManyInFlight, share_of
from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.delivery.recovery import StartPoint
from itemwire.channels.delivery.resume import ResumeProofs
from itemwire.channels.environment import Environment, new_connection_id
from itemwire.channels.hub import Hub
from itemwire.channels.idempotency import NOBODY, key_of
from itemwire.channels.join import FIRST_PAGE, ChannelParts, Joined, begin_join, leave
from itemwire.channels.lifecycle.draining import Draining
from itemwire.channels.lifecycle.expiry import Expiry, send_expiring
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.channels.limits.bounds import BY_TOKEN, Lifetime, Limits
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.limits.requests import Requester, RequestRates, TooManyDeliveries
from itemwire.channels.names import channel_of, item_of
from itemwire.channels.presence.info import with_info
from itemwire.channels.presence.presence import Page, Presence
from itemwire.channels.reauthorization import Denied
from itemwire.channels.rights import rights_of
from itemwire.close_reasons import DRAINING, TOKEN_REVOKED
from itemwire.counters import ChannelCounters
from itemwire.engines.base import Answer, Engine, History, Sink, Span
from itemwire.messages import NO_EXTRAS, Draft, Extras, Payload, Position, Ref, message_size
from itemwire.wire.base import Codec
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.revocation import Revocation, Revocations
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """How long connections of a node may last, in seconds.

    `leeway` is how far past its expiry a token is still accepted; a connection may stay as long.
    """

    lifetime: Lifetime = BY_TOKEN
    leeway: float = 0
    drain_seconds: float = 5


DEFAULTS: Final = NodeOptions()


class Node:
    """Connects sockets to channels and channels to the engine.

    All of it is called on the event loop that `start` was awaited on, but `publish`, which any
    thread may call. With `shared_slots` there are other nodes: members and the sockets of each
    caller are counted together with theirs.
    """

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        options: NodeOptions = DEFAULTS,
        *,
        environment: Environment | None = None,
        revocations: Revocations | None = None,
        counters: ChannelCounters | None = None,
        rates: RequestRates | None = None,
        shared_slots: ConnectionSlots | None = None,
    ) -> None:
        self.environment = environment = environment or Environment()
        clock, timers = environment.clock, environment.timers
        self.limits = limits
        self.rates = rates  # None: nothing is limited
        self.drain_seconds = options.drain_seconds
        self.counters = counters or ChannelCounters()
        self.connection_log = ConnectionLog(self.counters)
        self.revocations = Revocations(clock=clock) if revocations is None else revocations
        self._engine = engine
        self._hub = Hub(timers, self.counters)
        self.pending = self._hub.pending
        self._presence = Presence(self._hub.announce, limits.presence_limit, limits.presence_grace)
        self._expiry = Expiry(options.lifetime, options.leeway, clock)
        self._in_flight = InFlight(limits.max_in_flight, limits.max_in_flight_bytes)
        self._registry = ConnectionRegistry()
        self._draining: Draining | None = None
        self._is_started = False
        self._id = new_connection_id()  # tells this node's own notices from those of others
        self._control = Control(
            self._id,
            engine,
            self.revocations,
            registry=self._registry,
            expiry=self._expiry,
            end_all=self._hub.end_all,
            clock=clock,
        )
        exchange: Exchange = NoExchange()
        if shared_slots is not None:
            exchange = SharedExchange(
                self._id,
                engine,
                presence=self._presence,
                registry=self._registry,
                slots=shared_slots,
                grace=limits.presence_grace,
                call_later=timers.call_later,
                end_all=self._hub.end_all,
            )
        self._cluster = Cluster(self._id, self._control, exchange, self.counters)
        self._proofs = ResumeProofs()
        self._parts = ChannelParts(
            engine,
            self._hub,
            self._presence,
            self.counters,
            clock,
            watch_members=exchange.follow,
            forget_members=exchange.unfollow,
            proofs=self._proofs,
        )

    @property
    def channels(self) -> int:
        """Return the number of channels that have a subscriber here."""
        return len(self._hub)

    @property
    def is_ready(self) -> bool:
        """Return whether sockets can be served: started, not draining, the engine available."""
        return self._is_started and not self.is_draining and self._engine.is_available

    @property
    def is_started(self) -> bool:
        """Return whether it runs: its engine was started, and is not stopped yet."""
        return self._is_started

    @property
    def is_draining(self) -> bool:
        """Return whether the node goes out of service and accepts no connection any more."""
        return self._draining is not None

    async def start(self) -> None:
        """Start the engine, and take the running event loop as the node's."""
        self.environment.timers.start()
        self._hub.start()
        await self._engine.start(Sink(self._hub.fan_out, self._cluster.receive, self._lose))
        await self._proofs.start(self._engine)
        self._is_started = True
        self._cluster.start()

    async def stop(self) -> None:
        """Tell the other nodes that this one stops, and stop the engine."""
        self._is_started = False
        await self._cluster.stop()
        await self._engine.stop()

    def tick(self) -> None:
        """Do what is due for connections and their members; called about once a second."""
        due = self._expiry.pop_due()
        self._hub.end_all(due.ended)
        send_expiring(due.warned)
        self._presence.tick(self.environment.clock())
        self._cluster.tick()
        self._proofs.tick(self._engine)
        if self.rates is not None:
            self.rates.forget_idle()

    def drain(self, seconds: float | None = None, done: Callable[[], None] = lambda: None) -> int:
        """Go out of service, for good; return how many connections are going to end.

        They end within so many seconds, those of the options unless given; then `done` is called.
        A connection that comes in meanwhile is ended at once.
        """
        seconds = self.drain_seconds if seconds is None else seconds
        if self._draining is None:
            logger.info("draining connections=%d seconds=%g", len(self._registry), seconds)
            environment = self.environment
            self._draining = Draining(
                self._registry.all(),
                self._hub.end_all,
                environment.timers.call_later,
                environment.random,
            )
        return self._draining.end_within(seconds, done)

    def revoke(self, revocation: Revocation, answer: Answer[int], *, margin: float = 0) -> None:
        """Revoke tokens, here at once and then on every node; answer how many end here.

        When this returns their sockets have ended, whatever the engine is going to answer, and no
        further message reaches them. The tokens are refused until the revocation's `until`; if
        that is past, their clients may connect again at once.

        With a margin, in seconds, the sockets end when it is over, unless they are refreshed with
        a token that is not revoked. No new socket is opened with a revoked token from now on.
        """
        self._control.revoke(revocation, margin, answer)

    def disconnect(self, connection_id: str, answer: Answer[int]) -> None:
        """End a connection, on whichever node it is; answer how many ended here."""
        self._control.disconnect(connection_id, answer)

    def connections(self, limit: int, after: str = "") -> list[Connection]:
        """List at most so many connections of this node, by id, from the one after `after` on."""
        return self._registry.page(limit, after)

    def connect(self, principal: Principal, codec: Codec, transport: Transport) -> Connection:
        """Return the connection of an accepted socket.

        It has ended already if its token was revoked, or the node began to drain, since the
        handshake checked.
        """
        connection = Connection(
            self,
            connection_id=self.environment.new_id(),
            principal=principal,
            codec=codec,
            transport=transport,
            since=int(self.environment.clock()),
            session_ends_at=self._expiry.session_end(),
        )
        self._expiry.watch(connection)
        self._registry.add(connection)
        self.connection_log.opened(connection)
        if self.revocations.revokes(principal):
            connection.end(TOKEN_REVOKED)
        if self.is_draining:
            connection.end(DRAINING)
        return connection

    def renew(self, connection: Connection, principal: Principal) -> Denied | None:
        """Give a connection another token of its caller, and with it another expiry.

        Return why not, if the token was revoked while its rights were worked out.
        """
        if self.revocations.revokes(principal):
            return Denied(TOKEN_REVOKED, principal)
        self._expiry.forget(connection)
        connection.principal = principal
        connection.revoked_at = None  # that was about the token before
        self._expiry.watch(connection)
        self.counters.refreshes["accepted"] += 1
        logger.info(
            "renewed connection=%s subject=%r expires_at=%d",
            connection.id,
            principal.subject,
            connection.expires_at,
        )
        return None

    def change_rights(self, subscription: Subscription, grant: Grant) -> None:
        """Let a subscriber do something else than before, from the next message on."""
        before, subscription.can = subscription.can, grant.can
        subscription.member = with_info(subscription.member, grant.info)
        self._presence.change(subscription.channel, subscription.member)
        if (Action.PRESENCE in before) != (Action.PRESENCE in grant.can):
            self._hub.change_lane(subscription)
        logger.debug(
            "refreshed channel=%s connection=%s can=%s expires_at=%d",
            subscription.channel,
            subscription.connection.id,
            ",".join(rights_of(grant.can)),
            subscription.connection.expires_at,
        )

    def join(
        self,
        subscription: Subscription,
        start: StartPoint,
        joined: Joined,
        ref: Ref | UnsetType = UNSET,
    ) -> None:
        """Put a subscription on its channel: it gets `welcome`, what it missed, then the live.

        `joined` is called once the client is welcomed, or with why it cannot be, perhaps before
        this returns; it is not called at all if the client leaves meanwhile.
        """
        if subscription.connection.phase is not ENDED:
            begin_join(self._parts, self.limits, subscription, start, joined, ref=ref)

    def leave(self, subscription: Subscription) -> None:
        """Take a subscription off its channel for good, and tell the others that it left."""
        if subscription.is_current:
            del subscription.connection.subscriptions[subscription.channel]
            leave(self._parts, subscription, may_return=False)

    def publish(
        self,
        by: Principal,
        item_id: str,
        data: Payload,
        key: str | None,
        answer: Answer[Position],
        *,
        connection: Connection | None = None,
        extras: Extras = NO_EXTRAS,
    ) -> None:
        """Publish to an item in the name of a verified caller; answer once it is stored.

        Each caller has idempotency keys of its own. While too many publishes of the node, or of
        the given connection, are in flight, the answer is `TooManyInFlight` at once. A publish of
        a connection is charged to its subject's deliveries; past these it is `TooManyDeliveries`.

        Any thread may call this; the answer is given on the node's event loop.
        """
        if get_ident() != self._hub.thread:
            again = partial(self.publish, by, item_id, data, key, answer, extras=extras)
            self.environment.timers.hand_over(partial(again, connection=connection))
            return
        own_key = None if key is None else key_of(by.identity, key)
        draft = self._draft(item_id, by.subject, data, own_key, extras)
        if connection is not None:
            wait = self.spend_deliveries(connection, channel_of(item_id), message_size(draft))
            if wait:
                answer(TooManyDeliveries(wait))
                return
        self._store(draft, answer, connection)

    def publish_from_code(
        self,
        item_id: str,
        data: Payload,
        answer: Answer[Position],
        *,
        key: str | None = None,
        sender: str = "",
        extras: Extras = NO_EXTRAS,
    ) -> None:
        """Publish what the application's own code sends; answer once it is stored.

        It is charged to nobody's rates, and its idempotency keys are the application's. Any thread
        may call this; the answer is given on the node's event loop.
        """
        if get_ident() != self._hub.thread:
            again = partial(self.publish_from_code, item_id, data, answer, key=key, sender=sender)
            self.environment.timers.hand_over(partial(again, extras=extras))
            return
        own_key = None if key is None else key_of(NOBODY, key)
        self._store(self._draft(item_id, sender, data, own_key, extras), answer, None)

    def _draft(
        self, item_id: str, sender: str, data: Payload, key: str | None, extras: Extras
    ) -> Draft:
        sent_at = int(self.environment.clock() * 1000) / 1000
        return Draft(item_id, sender, sent_at, data, key, extras.meta, extras.end)

    def _store(self, draft: Draft, answer: Answer[Position], connection: Connection | None) -> None:
        """Have the engine store a message, within the bounds of what may be in flight."""
        tracked: Answer[Position] | None = answer
        if not self._engine.answers_at_once:
            tracked = self._track(message_size(draft), answer, connection)
        if tracked is not None:
            self._engine.publish(channel_of(draft.item), draft, tracked)

    def spend_deliveries(self, by: Requester, channel: str, size: int) -> float:
        """Charge a message to its publisher's budget of deliveries, once per subscriber here.

        Return the seconds to wait, or `NEVER`, if it is past the budget; 0 if it is not. Those
        that publish without a connection call this first; the application's own code does not.
        """
        rates = self.rates
        if rates is None or not rates.counts_deliveries:
            return 0.0
        return rates.spend_deliveries(by, self._hub.subscribers(channel), size)

    def history(self, item_id: str, span: Span, answer: Answer[History]) -> None:
        """Answer a part of an item's history, of at most `history_limit` messages."""
        self._engine.read(channel_of(item_id), span.at_most(self.limits.history_limit), answer)

    def members(self, item_id: str, limit: int = FIRST_PAGE, after: str = "") -> Page:
        """List at most so many members of an item, by id, from the one after `after` on."""
        return self._presence.page(channel_of(item_id), limit, after)

    def released(self, connection: Connection, *, may_return: bool) -> None:
        """Forget a connection, which has just ended, and take it off all of its channels."""
        self._expiry.forget(connection)
        self._registry.discard(connection)
        if self.rates is not None:
            self.rates.release(connection)
        for subscription in connection.subscriptions.values():
            leave(self._parts, subscription, may_return=may_return)
        connection.subscriptions.clear()

    def _track(
        self, size: int, answer: Answer[Position], connection: Connection | None
    ) -> Answer[Position] | None:
        """Count a publish into the share of its connection, then into the node's bounds.

        Return what to have the engine answer; None if there was no room, which is answered here.
        """
        if connection is not None:
            if connection.in_flight is None:
                connection.in_flight = share_of(self.limits, connection.id)
            tracked = connection.in_flight.track(size, answer)
            if tracked is None:
                answer(TooManyInFlight("this connection has too many messages in flight"))
                return None
            answer = tracked  # from here on, any answer counts it out of the share again
        tracked = self._in_flight.track(size, answer)
        if tracked is None:
            answer(TooManyInFlight("the engine has too many messages to store"))
        return tracked

    def _lose(self, channel: str, position: Position) -> None:
        logger.error("messages_lost channel=%s position=%s", channel, position)
        self._hub.report_loss(channel, item_of(channel), position)
